//! The guest's own files, run by a real Node.js with a real Node-RED: what they promise to the host and the person.
