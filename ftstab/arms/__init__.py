"""Arms compared at equal utility (measurement rules 19 and 20): the statistics, what is compared, and its words."""
