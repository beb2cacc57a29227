//! Where workers announce themselves and coordinators find them.
//!
//! A registry never judges health: a record says that a worker announced itself, not that it
//! answers.
