"""Dreams to look at: an episode beside its dream, the film of both, the counterfactual twin."""
