//! Probes over minimal superblocks in memory, and over the corpus.

mod corpus;
