-- One message a package, and the list of them, in one transaction; every 50th fails once, one hangs until its
-- worker is killed, and one is for a package that does not exist.
CREATE TEMPORARY TABLE package (n integer GENERATED ALWAYS AS IDENTITY, name text NOT NULL);
\copy package (name) FROM pstdin

WITH planned AS (
    SELECT 0 AS n, 'no-such-package' AS name, 'fails always' AS plan
    UNION ALL
    SELECT n, name, CASE WHEN n = (count(*) OVER () + 2) / 3 THEN 'hangs'
                         WHEN n % 50 = 2 THEN 'fails once' ELSE 'works' END
    FROM package
)
INSERT INTO :"jobs".sent (message, package, plan)
SELECT :"namespace".enqueue('packages', p.name, headers => json_build_object('plan', p.plan)), p.name, p.plan
FROM (SELECT * FROM planned ORDER BY n) p;
