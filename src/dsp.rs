//! Signal processing that several modules need. Knows no voice, engine, host or thread.

pub mod denormals;
