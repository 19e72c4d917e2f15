"""`reli lp certify`: whether an adapter keeps the port's promises, by a local venue."""
