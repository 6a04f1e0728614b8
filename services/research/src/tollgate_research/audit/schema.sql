-- Everything of the catalogs by which the ledger's schema refuses something, as (kind, name, what).
-- No word of the server's version is in it: it reads the same on PostgreSQL 16 and 18, and a test asks both.
WITH ledger AS (
    SELECT oid, nspowner, nspacl FROM pg_namespace WHERE nspname = 'ledger'
), relations AS (
    SELECT pg_class.* FROM pg_class JOIN ledger ON ledger.oid = relnamespace
), parties AS (
    SELECT * FROM pg_roles WHERE rolname IN ('tollgate_owner', 'tollgate_ledger', 'tollgate_reader')
), rights AS (
    SELECT 'schema' AS on_what, nspname::text AS name, nspowner AS owner, nspacl AS acl, 'n' AS type
        FROM pg_namespace WHERE nspname = 'ledger'
    UNION ALL
    SELECT 'table', relname, relowner, relacl, 'r' FROM relations WHERE relkind IN ('r', 'v', 'm', 'f', 'p', 'S')
    UNION ALL
    SELECT 'column', relname || '.' || attname, relowner, attacl, 'c'
        FROM relations JOIN pg_attribute ON attrelid = relations.oid WHERE attacl IS NOT NULL
    UNION ALL
    SELECT 'function', proname::text, proowner, proacl, 'f' FROM pg_proc JOIN ledger ON ledger.oid = pronamespace
)
SELECT 'server' AS kind, 'session_replication_role' AS name, current_setting('session_replication_role') AS what
UNION ALL
SELECT 'role', rolname, format('superuser %s, login %s, inherits %s, makes roles %s, makes databases %s, replicates %s, '
        'passes row security %s', rolsuper, rolcanlogin, rolinherit, rolcreaterole, rolcreatedb, rolreplication,
        rolbypassrls)
    FROM parties
UNION ALL
-- For one database or for all of them; what everybody is told counts where it would switch something off.
SELECT 'setting', coalesce(rolname, 'everybody') || ' ' || split_part(setting, '=', 1),
        substr(setting, position('=' IN setting) + 1)
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting LEFT JOIN pg_roles ON pg_roles.oid = setrole
    WHERE (setdatabase = 0 OR setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
        AND (setrole IN (SELECT oid FROM parties)
            OR setrole = 0 AND split_part(setting, '=', 1) IN ('session_replication_role', 'row_security', 'search_path'))
UNION ALL
SELECT 'member', member.rolname || ' of ' || role.rolname, 'a member'
    FROM pg_auth_members JOIN pg_roles AS role ON role.oid = roleid
        JOIN pg_roles AS member ON member.oid = pg_auth_members.member
    WHERE roleid IN (SELECT oid FROM parties) OR pg_auth_members.member IN (SELECT oid FROM parties)
UNION ALL
SELECT 'owner', 'schema ledger', pg_get_userbyid(nspowner) FROM ledger
UNION ALL
SELECT 'owner', 'table ' || relname, pg_get_userbyid(relowner) FROM relations WHERE relkind NOT IN ('i', 'I', 'c', 't')
UNION ALL
SELECT 'owner', 'function ' || proname, pg_get_userbyid(proowner) FROM pg_proc JOIN ledger ON ledger.oid = pronamespace
UNION ALL
-- The owner may do everything with its own; whoever else may do something is listed.
SELECT 'right', format('%s %s %s %s', rights.on_what, rights.name,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END, privilege_type),
        CASE WHEN is_grantable THEN 'with grant option' ELSE 'granted' END
    FROM rights CROSS JOIN aclexplode(coalesce(acl, acldefault(type::"char", owner))) WHERE grantee <> owner
UNION ALL
SELECT 'relation', relname, format('kind %s, persistence %s, row security %s, forced %s, part of another %s, options %s',
        relkind, relpersistence, relrowsecurity, relforcerowsecurity,
        EXISTS (SELECT FROM pg_inherits WHERE inhrelid = relations.oid OR inhparent = relations.oid),
        coalesce(reloptions::text, 'none'))
    FROM relations WHERE relkind NOT IN ('i', 'c', 't')
UNION ALL
SELECT 'column', relname || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN 'not null' END, 'default ' || pg_get_expr(adbin, adrelid),
        'identity ' || nullif(attidentity::text, ''), 'generated ' || nullif(attgenerated::text, ''))
    FROM relations JOIN pg_attribute ON attrelid = relations.oid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND attnum > 0 AND NOT attisdropped
UNION ALL
-- From version 18 on a column that is not null has a constraint of that kind; the column says it.
SELECT 'constraint', relname || '.' || conname, pg_get_constraintdef(pg_constraint.oid)
    FROM pg_constraint JOIN relations ON relations.oid = conrelid WHERE contype NOT IN ('n', 't')
UNION ALL
SELECT 'index', relname, pg_get_indexdef(relations.oid) || CASE WHEN indisvalid THEN '' ELSE ', not valid' END
    FROM relations JOIN pg_index ON indexrelid = relations.oid WHERE indisunique
UNION ALL
SELECT 'trigger', format('%s.%s', relname, CASE WHEN tgisinternal
            THEN format('%s %s', conname, tgfoid::regproc) ELSE tgname END),
        CASE tgenabled WHEN 'O' THEN 'on' WHEN 'A' THEN 'always on' ELSE 'switched off (' || tgenabled::text || ')' END
        || CASE WHEN tgisinternal THEN '' ELSE ': ' || pg_get_triggerdef(pg_trigger.oid) END
    FROM pg_trigger JOIN relations ON relations.oid = tgrelid LEFT JOIN pg_constraint ON pg_constraint.oid = tgconstraint
UNION ALL
SELECT 'view', relname, pg_get_viewdef(relations.oid) FROM relations WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'rule', relname || '.' || rulename, pg_get_ruledef(pg_rewrite.oid)
    FROM pg_rewrite JOIN relations ON relations.oid = ev_class WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'policy', relname || '.' || polname, polcmd::text FROM pg_policy JOIN relations ON relations.oid = polrelid
UNION ALL
SELECT 'event_trigger', evtname, evtenabled::text FROM pg_event_trigger
UNION ALL
SELECT 'function', format('%s(%s)', proname, pg_get_function_identity_arguments(pg_proc.oid)),
        format('returns %s, language %s, kind %s, volatility %s, strict %s, definer %s, parallel %s, settings %s, source %s',
            pg_get_function_result(pg_proc.oid), lanname, prokind, provolatile, proisstrict, prosecdef, proparallel,
            coalesce(array_to_string(proconfig, '; '), 'none'),
            encode(sha256(convert_to(coalesce(prosrc, ''), 'UTF8')), 'hex'))
    FROM pg_proc JOIN ledger ON ledger.oid = pronamespace JOIN pg_language ON pg_language.oid = prolang
