//! Tests of the condition language, drawn from the sentences of section 10.

mod accepted;
mod properties;
mod refused;
