//! Commands on places: sorted sets whose scores are geohashes.

pub mod add;
pub mod answer;
pub mod area;
pub mod cell;
pub mod get;
pub mod input;
pub mod options;
pub mod point;
pub mod radius;
pub mod search;
pub mod sort;
pub mod within;
