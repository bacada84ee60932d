//! A Service for each gateway with a port: what is to be done ([`plan`]), and doing it ([`keeper`]).

pub(crate) mod keeper;
pub(crate) mod plan;
