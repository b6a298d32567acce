-- total_v1: the sum of bigints as a bigint, 0 of none; an error (22003) where it does not fit.
-- sum() keeps 128 bits for each group in memory of its own: over ten thousand users' rows it took twice the time and spilled
-- to disk.
CREATE AGGREGATE total_v1(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0', COMBINEFUNC = int8pl, PARALLEL = SAFE);
