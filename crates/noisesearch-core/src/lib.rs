//! The search, without a tensor in sight.
//!
//! A **candidate is a recipe, never a tensor**: a root key and a short list of moves
//! ([`recipe`]). A [`search::Search`] asks for recipes to be scored and is told the scores;
//! a [`journal`] remembers them. Nothing here touches files, clocks, threads or tensors, and
//! nothing draws from a random state: the same tells give the same asks.
#![forbid(unsafe_code)]

pub mod budget;
pub mod chain;
pub mod conformance;
pub mod disk;
pub mod drive;
pub mod job;
pub mod journal;
pub mod ledger;
pub mod level;
pub mod limits;
pub mod noise;
pub mod objective;
pub mod recipe;
pub mod search;
pub mod sim;
