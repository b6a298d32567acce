-- out: every model that a prompt was asked of
SELECT DISTINCT model FROM model_usage_v{{version}} WHERE level = 5
