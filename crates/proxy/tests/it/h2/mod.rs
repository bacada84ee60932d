//! HTTP/2 on both sides.

mod bodies;
mod changes;
mod floods;
mod grpc;
mod peers;
mod requests;
mod secure;
mod websockets;
