#!/usr/bin/env bash
# The bench: Chatello and its peers in turn, in one run, on one machine, since
# only ratios of the same run mean anything. nginx (one worker process) answers
# a constant for validations and is a reverse proxy for AI requests; metering
# is on, every reservation and settlement is flushed. Validations take keys at
# random out of all licences, one in ten of them a licence that has used AI
# requests; AI requests and the ledger's pairs take 1,000 licences in turn, for
# few of a vendor's customers are active at once (the rows "-random" take up to
# 100,000).
#
# Memory is what all processes of the house hold together: each mapping's share
# (Pss) of their programs and libraries, heaps, stacks and lock files, what of
# it is swapped out, and the page tables. The pages of the store's files are
# not in it: they are the kernel's cache, which it takes back when it wants.
# "fresh", "idle", "before" and "after" are at rest: the script waits 4 to 5 s,
# for a worker gives back what it holds for speed only when it has done nothing
# for one to two seconds. "behind" is the moment when the last answer has come.
#
#   BENCH_LICENSES=1000000  how many licences the store holds
#   BENCH_SECONDS=5         of each measurement, behind half a second of warm-up
#   BENCH_WARM=20           seconds of validations first: a server that runs has
#                           its store's pages mapped
#   BENCH_REQUESTS=1000000  validations between the two figures of memory, and one
#                           AI request for each 50 of them
#   BENCH_OLD=1             also the old stack in miniature (Flask, gunicorn,
#                           MariaDB from Debian)
#
# Translation is measured with a request of 2 kB in OpenAI's shape (request.json):
# to a provider of that shape it passes as it is, to one of Anthropic's it is
# translated, and so is the answer; the difference in CPU is translation's cost.
# TTFT is the time to the first byte of a stream's body. For the rows "calm" and
# "faults" one licence asks one provider 8 times at once, with 2 ms between, while
# 102 requests of others are under way in the same proxy: "calm" answered well by
# the other providers, some at once and some slowly, "faults" with what providers
# do wrong: silence, a byte a second, 503s, answers without an end. "alone": nobody
# else asks.
#
# Prints a table and writes build/bench.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$PWD/build/release
here=$PWD/integration-tests/bench
licenses=${BENCH_LICENSES:-1000000}
seconds=${BENCH_SECONDS:-5}
warm=${BENCH_WARM:-20}
requests=${BENCH_REQUESTS:-1000000}
ai_keys=1000
path=/v1/chat/completions
json='{"model":"gpt-test","messages":[{"role":"user","content":"Hello there"}]}'
work=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX")
pids=()
rows=()

cleanup() {
	local pid
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

say() { printf '%s\n' "$*" >&2; }

# The children of a process and itself.
family() { printf '%s ' "$1"; cat "/proc/$1/task/$1/children" 2>/dev/null; }

# CPU microseconds that these processes have used so far.
cpu_us() {
	local pid total=0 hz fields
	hz=$(getconf CLK_TCK)
	for pid in "$@"; do
		fields=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) || continue
		# shellcheck disable=SC2086
		set -- $fields
		total=$((total + (${12} + ${13}) * 1000000 / hz))
	done
	echo "$total"
}

# measure NAME SERVER-PID load arguments...: one row of the table.
measure() {
	local name=$1 server=$2 before after result members
	shift 2
	# shellcheck disable=SC2207
	members=($(family "$server"))
	before=$(cpu_us "${members[@]}")
	result=$("$bin/load" -s "$seconds" "$@")
	after=$(cpu_us "${members[@]}")
	# shellcheck disable=SC2086
	set -- $result
	local cpu
	cpu=$(awk -v us="$((after - before))" -v n="$1" -v s="$seconds" \
		'BEGIN { printf "%.1f", n ? us * s / (s + 0.5) / n : 0 }')
	rows+=("$name $3 $4 $5 $cpu $6 $7 $2 $8 $9")
	say "$(printf '%-34s %9s/s  p50 %6s us  p99 %7s us  cpu %6s us  events %s/%s us  ttft %s/%s us  errors %s' \
		"$name" "$3" "$4" "$5" "$cpu" "$6" "$7" "$8" "$9" "$2")"
}

# KiB that these processes hold ("held": see above), or their share of the
# store's pages ("cache").
memory_kib() { # held|cache PID...
	local what=$1 pid kib total=0
	shift
	for pid in "$@"; do
		kib=$(awk -v what="$what" '
			/^[0-9a-f]+-[0-9a-f]+ / { is_store = /\/data\.mdb$/ }
			/^(Pss|SwapPss):/ { kib[is_store ? "cache" : "held"] += $2 }
			/^VmPTE:/ { kib["held"] += $2 }
			END { print kib[what] + 0 }' \
			"/proc/$pid/smaps" "/proc/$pid/status" 2>/dev/null || echo 0)
		total=$((total + kib))
	done
	echo "$total"
}

# What all processes of the house hold when they have come to rest.
rested_kib() {
	local began=$SECONDS kib=0
	while [ $((SECONDS - began)) -lt 5 ]; do
		# shellcheck disable=SC2046
		kib=$(memory_kib held $(family "$house"))
	done
	echo "$kib"
}

# --- the programs ------------------------------------------------------------

# Two of them: what a fault costs its provider is not what is measured.
start_upstreams() {
	"$bin/upstream" >"$work/upstream.out" &
	provider=$!
	"$bin/upstream" >"$work/faulty.out" &
	pids+=("$provider" $!)
	until grep -q ready "$work/upstream.out" && grep -q ready "$work/faulty.out"; do :; done
	upstream=127.0.0.1:$(sed 's/.*=//' "$work/upstream.out")
	faulty=127.0.0.1:$(sed 's/.*=//' "$work/faulty.out")
}

start_nginx() {
	# Below the ports that connections take.
	local port=$((20000 + RANDOM % 12000)) body
	nginx_address=127.0.0.1:$port
	body=$(head -c "$1" /dev/zero | tr '\0' x)
	cat >"$work/nginx.conf" <<-CONF
		worker_processes 1;
		daemon off;
		pid $work/nginx.pid;
		error_log $work/nginx.err crit;
		events { worker_connections 8192; }
		http {
		  access_log off;
		  keepalive_requests 1000000000;
		  client_body_temp_path $work/body;
		  proxy_temp_path $work/proxy;
		  fastcgi_temp_path $work/fastcgi;
		  uwsgi_temp_path $work/uwsgi;
		  scgi_temp_path $work/scgi;
		  upstream ai { server $upstream; keepalive 1024; keepalive_requests 1000000000; }
		  server {
		    listen $nginx_address backlog=4096;
		    location = /constant { default_type application/json; return 200 "$body"; }
		    location /v1/ {
		      proxy_pass http://ai;
		      proxy_http_version 1.1;
		      proxy_set_header Connection "";
		    }
		    location /sse/ {
		      proxy_pass http://ai/;
		      proxy_http_version 1.1;
		      proxy_set_header Connection "";
		      proxy_buffering off;
		    }
		  }
		}
	CONF
	nginx -c "$work/nginx.conf" -p "$work" &
	nginx=$!
	pids+=("$nginx")
	until curl -s -o /dev/null "http://$nginx_address/constant"; do
		kill -0 "$nginx"
	done
}

prepare_house() {
	export CHATELLO_DATA=$work/data CHATELLO_PUBLIC=127.0.0.1:0 CHATELLO_ADMIN=127.0.0.1:0 \
		CHATELLO_INTERNAL=127.0.0.1:0 OPENAI_API_KEY=sk-bench \
		OPENAI_BASE_URL=http://$upstream/v1 ANTHROPIC_API_KEY=sk-bench \
		ANTHROPIC_BASE_URL=http://$upstream/anthropic DEEPSEEK_API_KEY=sk-bench \
		DEEPSEEK_BASE_URL=http://$faulty/deepseek
	"$bin/chatello" init --json >/dev/null
	"$bin/chatello" price set openai gpt-test --input 1 --output 2 --json >/dev/null
	"$bin/chatello" price set anthropic claude-test --input 1 --output 2 --json >/dev/null
	"$bin/chatello" price set deepseek deepseek-test --input 1 --output 2 --json >/dev/null
	"$bin/chatello" plan set bench --name Bench --price-month 9 --feature ai_proxy \
		--limit requests_hour=1000000000 --limit validations_hour=1000000000 --json >/dev/null
	start_house
	fresh_kib=$(rested_kib)
	stop_house
	say "writing $licenses licences ..."
	local began=$SECONDS
	"$bin/fill" "$licenses" bench | shuf >"$work/keys"
	head -"$ai_keys" "$work/keys" >"$work/keys.ai"
	head -1 "$work/keys" >"$work/keys.one"
	head -100000 "$work/keys" >"$work/keys.random" # as many as pairs takes
	awk 'FNR == NR { ai[n++] = $0; next }
		{ print FNR % 10 ? $0 : ai[at++ % n] }' \
		"$work/keys.ai" "$work/keys" >"$work/keys.validate"
	say "written in $((SECONDS - began)) s; the store is $(du -sh "$CHATELLO_DATA/store" | cut -f1)"
}

start_house() {
	local began now
	began=$(date +%s%N)
	: >"$work/up.out"
	"$bin/chatello" up >"$work/up.out" 2>"$work/up.err" &
	house=$!
	pids+=("$house")
	until grep -q ^ready "$work/up.out"; do
		kill -0 "$house" || { cat "$work/up.err" >&2; exit 1; }
	done
	now=$(date +%s%N)
	start_ms=$(((now - began) / 1000000))
	public=$(sed -n 's/.*public=http:\/\/\([^ ]*\).*/\1/p' "$work/up.out")
}

# Analytics folds the events of all those licences first; that is not what is
# measured. Its rows are shown when it has reached the log's head.
wait_for_analytics() {
	local began=$SECONDS
	say "waiting until analytics has folded the log ..."
	"$bin/chatello" analytics show --json >/dev/null
	say "folded after $((SECONDS - began)) s"
}

stop_house() {
	kill "$house"
	wait "$house" || true
}

# --- what is measured --------------------------------------------------------

bench_validate() {
	local n
	say "warming up for $warm s ..."
	"$bin/load" -n 64 -r $((2 * ai_keys)) -k "$work/keys.ai" -b "$json" "$public" $path >/dev/null
	"$bin/load" -n 64 -s "$warm" -k "$work/keys.validate" -b '{}' "$public" /api/validate >/dev/null
	for n in 64 256; do
		measure "nginx-constant-$n" "$nginx" -n $n -b '{}' "$nginx_address" /constant
		measure "validate-$n" "$house" -n $n -k "$work/keys.validate" -b '{}' "$public" /api/validate
	done
	measure nginx-constant-close "$nginx" -n 64 -c -b '{}' "$nginx_address" /constant
	measure validate-close "$house" -n 64 -c -k "$work/keys.validate" -b '{}' "$public" /api/validate
	measure nginx-constant-1 "$nginx" -n 1 -b '{}' "$nginx_address" /constant
	measure validate-1 "$house" -n 1 -k "$work/keys.validate" -b '{}' "$public" /api/validate
}

bench_ai() {
	local n
	local sse='{"model":"gpt-test","messages":[{"role":"user","content":"Hi #up events=20 gap=1 stamp"}],"stream":true}'
	say "AI requests use $ai_keys of $licenses licences in turn"
	for n in 64 256 1; do
		measure "direct-json-$n" "$provider" -n $n -b "$json" "$upstream" $path
		measure "nginx-json-$n" "$nginx" -n $n -b "$json" "$nginx_address" $path
		measure "ai-json-$n" "$house" -n $n -k "$work/keys.ai" -b "$json" "$public" $path
	done
	measure ai-json-64-random "$house" -n 64 -k "$work/keys.random" -b "$json" "$public" $path
	for n in 64 1; do
		measure "direct-sse-$n" "$provider" -n $n -b "$sse" "$upstream" $path
		measure "nginx-sse-$n" "$nginx" -n $n -b "$sse" "$nginx_address" /sse$path
		measure "ai-sse-$n" "$house" -n $n -k "$work/keys.ai" -b "$sse" "$public" $path
	done
	sse=${sse/ gap=1/}
	measure nginx-sse-burst-64 "$nginx" -n 64 -b "$sse" "$nginx_address" /sse$path
	measure ai-sse-burst-64 "$house" -n 64 -k "$work/keys.ai" -b "$sse" "$public" $path
}

# ROW BODY: OpenAI's shape, 64 connections
measure_body() {
	measure "$1" "$house" -n 64 -k "$work/keys.ai" -b "$2" "$public" $path
}

bench_translation() {
	local body sse claude
	body=$(<"$here/request.json")
	sse=${body/\"model\"/\"stream\":true,\"model\"}
	sse=${sse/settimana?/settimana? #up events=20 stamp}
	claude=s/MODEL/claude-test/
	measure_body ai-2k-64 "${body/MODEL/gpt-test}"
	measure_body ai-2k-translated-64 "$(sed $claude <<<"$body")"
	measure_body ai-2k-sse-64 "${sse/MODEL/gpt-test}"
	measure_body ai-2k-sse-translated-64 "$(sed $claude <<<"$sse")"
}

# What the others ask: a model, requests at a time, ms between them, JSON or a
# stream; and what its provider does, without faults and with them.
others() {
	cat <<-'OTHERS'
		gpt-test|32|100|json||status=503
		gpt-test|16|100|json|delay=1000|cut=head by=silence
		gpt-test|16|100|sse|events=20 gap=100|cut=mid by=silence
		gpt-test|4|100|json||html status=502
		deepseek-test|32|100|sse|events=20 gap=500|drip gap=1000
		deepseek-test|1|2000|sse||flood=104857600
		deepseek-test|1|2000|json||flood=104857600
	OTHERS
}

# ROW [5|6]: one licence's requests, alone or while others ask (column of others).
measure_among() {
	local model count wait shape up body pids_of_others=()
	local good='{"model":"claude-test","messages":[{"role":"user","content":"Hello there"}]}'
	while [ $# -gt 1 ] && IFS='|' read -r model count wait shape up; do
		body='{"model":"MODEL","messages":[{"role":"user","content":"Hi #up UP"}]}'
		body=${body/UP/$up}
		[ "$shape" = json ] || body=${body/\"model\"/\"stream\":true,\"model\"}
		"$bin/load" -n "$count" -s $((seconds + 2)) -w "$wait" -k "$work/keys.ai" \
			-b "${body/MODEL/$model}" "$public" $path >/dev/null &
		pids_of_others+=($!)
	done < <(others | cut -d'|' -f1-4,"${2:-5}")
	measure "$1" "$house" -n 8 -w 2 -k "$work/keys.one" -b "$good" "$public" $path
	[ ${#pids_of_others[@]} = 0 ] || wait "${pids_of_others[@]}"
}

# The providers with faults are left alone for a while behind them: last.
bench_faults() {
	measure_among ai-alone-8
	measure_among ai-calm-8 5
	measure_among ai-faults-8 6
}

# Behind all else that works, so that whatever grows to its bound has done so.
bench_memory() {
	local ai
	before_kib=$(rested_kib)
	say "$requests validations and $((requests / 50)) AI requests ..."
	"$bin/load" -n 16 -r $((requests / 50)) -k "$work/keys.ai" -b "$json" "$public" $path >"$work/memory.ai" &
	ai=$!
	"$bin/load" -n 48 -r "$requests" -k "$work/keys.validate" -b '{}' "$public" /api/validate >"$work/memory.validate"
	wait "$ai"
	# shellcheck disable=SC2046
	behind_kib=$(memory_kib held $(family "$house"))
	# shellcheck disable=SC2046
	cache_kib=$(memory_kib cache $(family "$house"))
	after_kib=$(rested_kib)
	cat "$work/memory.validate" "$work/memory.ai" >&2
	memory_errors=$(awk '{ n += $2 } END { print n }' "$work/memory.validate" "$work/memory.ai")
}

# measure_pairs ROW OUTSTANDING KEYS
measure_pairs() {
	local row=$1 usage
	"$bin/chatello-usage" 2>>"$work/usage.err" &
	usage=$!
	pids+=("$usage")
	# shellcheck disable=SC2046
	set -- $("$bin/pairs" "$2" "$seconds" "$3")
	rows+=("$row $3 $4 0 $(awk -v us="$(cpu_us "$usage")" -v n="$1" 'BEGIN { printf "%.1f", n ? us / n : 0 }') 0 0 $2 0 0")
	say "$(printf '%-34s %9s/s  reserve p50 %s us  errors %s' "$row" "$3" "$4" "$2")"
	kill "$usage"
	wait "$usage" || true
}

bench_ledger() {
	local n
	mkdir -p "$CHATELLO_DATA/run"
	for n in 64 256 1; do
		measure_pairs "ledger-pairs-$n" $n "$work/keys.ai"
	done
	measure_pairs ledger-pairs-64-random 64 "$work/keys.random"
}

bench_old() {
	: >"$work/old.out"
	"$here/old-stack.sh" "$work" "$work/keys" >"$work/old.out" &
	pids+=($!)
	until grep -q ready "$work/old.out"; do kill -0 "${pids[-1]}"; done
	local address server
	read -r _ address server <"$work/old.out"
	measure old-validate-64 "$server" -n 64 -k "$work/keys.old" -b '{}' "$address" /api/validate
}

value() { # ROW COLUMN (2 = per second, 3 = p50, 4 = p99, 5 = cpu, 6 = event p50, 9 = TTFT p50)
	printf '%s\n' "${rows[@]}" | awk -v row="$1" -v column="$2" '$1 == row { print $column }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b ? a / b : 0 }'; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.0f", a - b }'; }

figures() {
	cat <<-TXT
		validate_64_of_nginx $(ratio "$(value validate-64 2)" "$(value nginx-constant-64 2)") 0.50
		validate_256_of_nginx $(ratio "$(value validate-256 2)" "$(value nginx-constant-256 2)") 0.65
		validate_close_of_nginx $(ratio "$(value validate-close 2)" "$(value nginx-constant-close 2)") 0.90
		validate_cpu_us $(value validate-64 5) 18
		ai_json_64_of_nginx $(ratio "$(value ai-json-64 2)" "$(value nginx-json-64 2)") 0.35
		ai_json_256_of_nginx $(ratio "$(value ai-json-256 2)" "$(value nginx-json-256 2)") 0.45
		ai_json_cpu_us $(value ai-json-64 5) 65
		ai_added_us $(minus "$(value ai-json-1 3)" "$(value direct-json-1 3)") 700
		ai_sse_64_of_nginx $(ratio "$(value ai-sse-64 2)" "$(value nginx-sse-64 2)") 0.90
		ai_sse_added_event_us $(minus "$(value ai-sse-1 6)" "$(value direct-sse-1 6)") 150
		ai_ttft_added_us $(minus "$(value ai-sse-1 9)" "$(value direct-sse-1 9)") 700
		ai_translation_cpu_us $(minus "$(value ai-2k-translated-64 5)" "$(value ai-2k-64 5)") 40
		ai_sse_translation_cpu_us $(minus "$(value ai-2k-sse-translated-64 5)" "$(value ai-2k-sse-64 5)") -
		ai_p99_among_faults $(ratio "$(value ai-faults-8 4)" "$(value ai-calm-8 4)") 1.10
		ai_p99_among_others $(ratio "$(value ai-calm-8 4)" "$(value ai-alone-8 4)") -
		ledger_pairs_64 $(value ledger-pairs-64 2) 50000
		ai_json_64_random_of_nginx $(ratio "$(value ai-json-64-random 2)" "$(value nginx-json-64 2)") -
		ledger_pairs_64_random $(value ledger-pairs-64-random 2) -
		start_ms $start_ms -
		memory_fresh_kib $fresh_kib 65536
		memory_idle_kib $idle_kib 65536
		memory_before_requests_kib $before_kib 65536
		memory_behind_kib $behind_kib -
		memory_behind_store_cache_kib $cache_kib -
		memory_after_requests_kib $after_kib 65536
		memory_growth $(ratio "$after_kib" "$before_kib") 1.05
		memory_request_errors $memory_errors 0
	TXT
	if [ "${BENCH_OLD:-}" = 1 ]; then
		echo "validate_of_old_stack $(ratio "$(value validate-64 2)" "$(value old-validate-64 2)") 12"
	fi
}

report() {
	printf '\n%-30s %12s %12s\n' figure measured goal
	figures | awk '{ printf "%-30s %12s %12s\n", $1, $2, $3 }'
	printf 'memory: all processes; Pss and SwapPss of all mappings but the store files, and page tables;\n'
	printf '  store_cache: the Pss of the store files, which the kernel takes back, counted nowhere else;\n'
	printf '  fresh: empty store; idle: %s licences; before and after %s validations and %s AI requests;\n' \
		"$licenses" "$requests" $((requests / 50))
	printf '  these are at rest, 4 to 5 s behind what was done last; behind: right behind the last answer\n'
	{
		printf '{"licenses":%s,"ai_licenses":%s,"seconds":%s,"requests":%s,"processors":%s,"rows":[' "$licenses" "$ai_keys" "$seconds" "$requests" "$(nproc)"
		printf '%s\n' "${rows[@]}" | awk '{ printf "%s{\"name\":\"%s\",\"per_second\":%s,\"p50_us\":%s,\"p99_us\":%s,\"cpu_us\":%s,\"event_p50_us\":%s,\"event_p99_us\":%s,\"errors\":%s,\"first_p50_us\":%s,\"first_p99_us\":%s}", (NR > 1 ? "," : ""), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 }'
		printf '],"figures":{'
		figures | awk '{ printf "%s\"%s\":%s", (NR > 1 ? "," : ""), $1, $2 }'
		printf '}}\n'
	} >build/bench.json
}

start_upstreams
prepare_house
start_house
# The constant is as long as a validation's answer.
length=$(curl -s -d '{}' -H "X-License-Key: $(head -1 "$work/keys")" "http://$public/api/validate" | wc -c)
start_nginx "$length"
wait_for_analytics
idle_kib=$(rested_kib)
bench_validate
bench_ai
bench_translation
bench_memory
bench_faults
stop_house
bench_ledger
if [ "${BENCH_OLD:-}" = 1 ]; then bench_old; fi
report
