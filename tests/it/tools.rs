//! Real tools, asked the same question.

mod corpus;
mod edges;
mod made_images;
mod nbd;
mod owners;
mod partition_tools;
mod tar;
mod veritysetup;
mod veritysetup_fec;
