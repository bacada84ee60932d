//! Tests of the selector language, drawn from the sentences of sections 8 and 9.1.

mod grammar;
mod groups;
mod meaning;
mod properties;
