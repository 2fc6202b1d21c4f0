//! `redhold dev`: one isolated Node-RED on a project folder, in the foreground.
