#!/usr/bin/env bash
# Runs the three functions as `sam local` does: each in a container of Lambda's
# image, behind AWS's Runtime Interface Emulator, on the stand-in for SQS,
# DynamoDB and KMS that a `posthorn local` on this machine serves.
#
#   sam-local.sh check    invoke each function with its files in events/, then make
#                         the calls of the README's quick start of `sam local start-api`
#   sam-local.sh serve    keep `sam local start-api` running, until Ctrl-C
#
# It needs Docker, sam and curl. SAM_LOCAL_PORT (3000) is the port of the API,
# SAM_LOCAL_FLAGS is added to each `sam local`, such as --skip-pull-image.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-check}
case $what in check | serve) ;; *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac

export SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1
port=${SAM_LOCAL_PORT:-3000}
read -ra flags <<<"${SAM_LOCAL_FLAGS:-}"
work=$(mktemp -d)
posthorn= sam=

fail() { printf 'sam-local: %s\n' "$*" >&2; exit 1; }

# finish ends what was started here, by its process.
finish() {
	for pid in $sam $posthorn; do
		kill "$pid" 2>/dev/null && wait "$pid" || true
	done
	# sam does not always remove all of its containers; their ids are in its log.
	for id in $(sed -n 's/^SAM_CONTAINER_ID: //p' "$work/start-api" 2>/dev/null); do
		docker rm -f "$id" >/dev/null 2>&1 || true
	done
	rm -rf "$work"
}
trap finish EXIT

# Docker on Linux reaches this machine at the address of its bridge, Docker
# Desktop by a name that leads to its loopback.
if [[ $(docker info -f '{{.OperatingSystem}}') == *Desktop* ]]; then
	listen=127.0.0.1 reach=host.docker.internal
else
	listen=$(docker network inspect bridge -f '{{(index .IPAM.Config 0).Gateway}}')
	if ! [[ $listen ]]; then # not said by every version
		bridge=$(docker network inspect bridge -f '{{index .Options "com.docker.network.bridge.name"}}')
		listen=$(ip -4 -o addr show "$bridge" | sed -n 's/.* inet \([0-9.]*\).*/\1/p')
	fi
	[[ $listen ]] || fail "where containers reach this machine is not known"
	reach=$listen
fi
case $(docker version -f '{{.Server.Arch}}') in
	arm64) architecture=arm64 ;;
	amd64) architecture=x86_64 ;;
	*) fail "Lambda has no such processor: $(docker version -f '{{.Server.Arch}}')" ;;
esac

echo "== build for $architecture"
make -s bin/posthorn
sam build --build-dir build/sam-local --parameter-overrides "Architecture=$architecture" >"$work/build" 2>&1 || { cat "$work/build" >&2; exit 1; }
# sam sets only variables that the template names. An account needs none of
# these: its services are where the SDK looks, and endpoints are public.
mv build/sam-local/template.yaml build/sam-local/template.yaml.as-built
awk '
	{ print }
	/^ *POSTHORN_AUTH: keys$/ {
		indent = substr($0, 1, index($0, "P") - 1)
		print indent "AWS_ENDPOINT_URL: \"\""
		print indent "POSTHORN_ALLOW_HTTP: \"true\""
		print indent "POSTHORN_ALLOW_PRIVATE: \"true\""
		found = 1
	}
	END { exit !found }' build/sam-local/template.yaml.as-built >build/sam-local/template.yaml || fail "the built template has no POSTHORN_AUTH: keys"

# start_posthorn starts `posthorn local` and finds out where it is. More
# arguments are variables.
start_posthorn() {
	: >"$work/banner" # not that of an earlier start
	env "$@" POSTHORN_ALLOWED_HOSTS=host.docker.internal bin/posthorn local --port "${api_port:-0}" --aws-host "$listen" --aws-port "${aws_port:-0}" \
		--data "$work/data" >"$work/log" 2>"$work/banner" &
	posthorn=$!
	until grep -q 'first event' "$work/banner"; do
		kill -0 "$posthorn" 2>/dev/null || fail "$(cat "$work/banner")"
		sleep 0.1
	done
	api_port=$(sed -n 's/^ *API .*:\([0-9]*\)$/\1/p' "$work/banner")
	aws_port=$(sed -n 's/^ *SQS.*:\([0-9]*\)$/\1/p' "$work/banner")
}

echo "== posthorn local, with a KMS key that the functions use too"
start_posthorn
key=$(curl -sS --fail-with-body "http://$listen:$aws_port/" -H 'X-Amz-Target: TrentService.CreateKey' -H 'Content-Type: application/x-amz-json-1.1' -d '{}' |
	sed -n 's/.*"Arn":"\([^"]*\)".*/\1/p')
[[ $key ]] || fail "no key was made"
kill "$posthorn" && wait "$posthorn"
start_posthorn POSTHORN_KMS_KEY_ID="$key"

aws=http://$reach:$aws_port
cat >"$work/env.json" <<-END
	{"Parameters": {
	  "AWS_ENDPOINT_URL": "$aws", "POSTHORN_AUTH": "off", "POSTHORN_KMS_KEY_ID": "$key", "POSTHORN_ALLOW_PORTS": "$api_port", "POSTHORN_TABLE": "posthorn",
	  "POSTHORN_QUEUE_URL": "$aws/000000000000/posthorn-deliveries", "POSTHORN_DLQ_URL": "$aws/000000000000/posthorn-dead-letters"
	}}
END
common=(--template build/sam-local/template.yaml --parameter-overrides "Architecture=$architecture" --env-vars "$work/env.json"
	--add-host host.docker.internal:host-gateway
	${flags[@]+"${flags[@]}"}) # an empty array is unset to bash 3.2, which macOS has

# invoke invokes a function with a file of events/ and checks what it answers.
invoke() {
	local function=$1 file=$2 want=$3 answer
	answer=$(sam local invoke "$function" --event "events/$file" "${common[@]}" 2>"$work/invoke") || { cat "$work/invoke" >&2; fail "$function with $file"; }
	[[ $answer =~ $want ]] || { cat "$work/invoke" >&2; fail "$function answered $file with $answer, and not with $want"; }
	printf '   %-20s %-28s %s\n' "$function" "$file" "${answer:0:80}"
}

if [[ $what == check ]]; then
	echo "== sam local invoke"
	for path in events/*.json; do
		case ${path#events/} in
			api-health.json) invoke ApiFunction api-health.json '"statusCode": ?200' ;;
			api-create-endpoint.json) invoke ApiFunction api-create-endpoint.json '"statusCode": ?201' ;;
			api-post-event.json) invoke ApiFunction api-post-event.json '"statusCode": ?202' ;;
			deliver-*.json) invoke DeliverFunction "${path#events/}" '^\{"batchItemFailures": ?\[\]\}$' ;;
			sweeper-*.json) invoke DlqSweeperFunction "${path#events/}" '^(null)?$' ;;
			*) fail "$path is for no function" ;;
		esac
	done
fi

echo "== sam local start-api, on port $port"
sam local start-api --port "$port" --warm-containers EAGER "${common[@]}" >"$work/start-api" 2>&1 &
sam=$!
until curl -sf -o "$work/health" "http://127.0.0.1:$port/health"; do
	kill -0 "$sam" 2>/dev/null || { cat "$work/start-api" >&2; fail "sam local start-api ended"; }
	sleep 0.5
done
if [[ $what == serve ]]; then
	echo "   http://127.0.0.1:$port/api/v1/stats; the receiver of the README is http://localhost:$api_port/test/webhook"
	wait "$sam"
	exit
fi

# quick_start prints the calls of the README's quick start, one a line.
quick_start() {
	sed -n '/^## Quick start/,/^## How/p' README.md | awk '
		/^```sh/ { inside = 1; next }
		/^```/ { if (call != "") print call; call = ""; inside = 0 }
		inside && (call != "" || /^curl /) { sub(/\\$/, ""); call = call $0 }'
}

delivery= made=0
while IFS= read -r call; do
	call=${call//http:\/\/localhost:8000\/api/http:\/\/127.0.0.1:$port\/api}
	call=${call//http:\/\/localhost:8000\/test/http:\/\/localhost:$api_port\/test}
	if [[ $call =~ dlv_[0-9A-Z_]+ ]]; then call=${call//${BASH_REMATCH[0]}/$delivery}; fi
	for ((tries = 0; ; tries++)); do
		answer=$(bash -c "${call/curl -s/curl -sS --fail-with-body}") || fail "$call: $answer"
		# What is asked for a delivery is asked until it is done.
		[[ $call == */deliveries/* && $answer != *'"status":"delivered"'* ]] || break
		((tries < 100)) || fail "$call: $answer"
		sleep 0.1
	done
	[[ $delivery || ! $answer =~ dlv_[0-9A-Z_]+ ]] || delivery=${BASH_REMATCH[0]}
	printf '   %s\n      %s\n' "${call:0:100}" "${answer:0:160}"
	((++made))
done < <(quick_start)
((made == 4)) || fail "the README's quick start made $made calls, and not 4"
echo "== green"
