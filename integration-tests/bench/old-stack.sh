#!/usr/bin/env bash
# The old stack in miniature, for `BENCH_OLD=1 make bench`: Flask behind
# gunicorn, licences in MariaDB, one indexed query a validation. Debian's
# python3-flask, gunicorn, python3-pymysql and mariadb-server.
#
# old-stack.sh WORK-FOLDER KEYS-FILE: prints "ready HOST:PORT PID" and serves
# until it is killed; writes the keys that it knows to WORK-FOLDER/keys.old.
set -euo pipefail
work=$1
keys=$2
rows=100000
port=$((20000 + RANDOM % 20000))
data=$work/mariadb
socket=$work/mariadb.sock

cleanup() { kill "$(cat "$work/gunicorn.pid")" "$mariadb" 2>/dev/null || true; }
trap cleanup EXIT
trap 'exit 0' TERM INT

mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal \
	--skip-test-db --user="$(id -un)" >"$work/mariadb.log" 2>&1
mariadbd --no-defaults --datadir="$data" --socket="$socket" --skip-networking \
	--user="$(id -un)" >>"$work/mariadb.log" 2>&1 &
mariadb=$!
until mariadb-admin --no-defaults -u root --socket="$socket" ping >/dev/null 2>&1; do
	kill -0 "$mariadb"
done
head -$rows "$keys" >"$work/keys.old"
mariadb --no-defaults -u root --socket="$socket" --local-infile=1 <<-SQL
	CREATE DATABASE shop;
	USE shop;
	CREATE TABLE licenses (id INT AUTO_INCREMENT PRIMARY KEY, license_key VARCHAR(64) NOT NULL UNIQUE,
	  status VARCHAR(16) DEFAULT 'active', plan VARCHAR(32) DEFAULT 'pro', domain VARCHAR(253), expires_at DATETIME DEFAULT '2099-01-01');
	LOAD DATA LOCAL INFILE '$work/keys.old' INTO TABLE licenses (license_key);
SQL
cat >"$work/shop.py" <<-'PY'
	import datetime, os, threading
	import pymysql
	from flask import Flask, jsonify, request

	app = Flask(__name__)
	own = threading.local()

	def query(key):
	    if not hasattr(own, "connection"):
	        own.connection = pymysql.connect(unix_socket=os.environ["SHOP_SOCKET"], user="root",
	                                         database="shop", autocommit=True)
	    with own.connection.cursor() as cursor:
	        cursor.execute("SELECT id, status, plan, domain, expires_at FROM licenses"
	                       " WHERE license_key = %s", (key,))
	        return cursor.fetchone()

	@app.post("/api/validate")
	def validate():
	    row = query(request.headers.get("X-License-Key", "").strip().upper())
	    if row is None:
	        return jsonify(valid=False, code="NOT_FOUND"), 401
	    if row[1] != "active" or row[4] < datetime.datetime.utcnow():
	        return jsonify(valid=False, code="EXPIRED"), 403
	    return jsonify(valid=True, code="VALID", license={"id": row[0], "status": row[1], "domain": row[3],
	                   "expires_at": row[4].isoformat()}, plan={"code": row[2]})
PY
cd "$work"
SHOP_SOCKET=$socket gunicorn --daemon --pid "$work/gunicorn.pid" --workers 2 --threads 4 \
	--bind "127.0.0.1:$port" --log-file "$work/gunicorn.log" shop:app
until curl -s -o /dev/null "http://127.0.0.1:$port/"; do kill -0 "$mariadb"; done
echo "ready 127.0.0.1:$port $(cat "$work/gunicorn.pid")"
wait "$mariadb"
