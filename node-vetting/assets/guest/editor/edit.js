export async function edit() { return { types: {} }; }
