//! Passive artifacts that a gateway may refer to: stored conditions, rewrites and routes.
