//! Both ends together, over real sockets: a real server, real agents, and between them a wire that can be cut.

mod counts;
mod doors;
mod hostile;
mod tables;
mod trials;
mod world;
