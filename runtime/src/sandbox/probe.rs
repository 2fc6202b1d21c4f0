//! What this kernel and this account offer: asked by trying, never by guessing from a version or a uid.
