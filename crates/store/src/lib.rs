//! Where artifacts, live state and events are kept.
