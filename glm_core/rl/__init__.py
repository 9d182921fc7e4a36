"""Reinforcement learning: the planner by GRPO, the decoder by Flow-GRPO or DiffusionNFT. Rewards judge the results."""
