"""GLM-Image without a host: planner, glyph encoder, diffusion decoder, VAE and the files they come from."""
