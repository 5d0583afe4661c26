pub(crate) mod memory;

mod corpus;
mod hostile;
mod paths;
