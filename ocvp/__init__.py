"""Object-centric video prediction: SAVi video decomposition and slot predictors."""
