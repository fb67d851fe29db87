//! Whole models, opened from folders like the published ones, against diffusers' pipelines: from a
//! prompt or a class and noise to the image.

mod classes;
mod folder;
mod half;
mod latent;
mod transformer;
