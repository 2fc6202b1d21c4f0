//! The front: requests from a browser to an instance's socket, HTTP and WebSocket, streamed.
