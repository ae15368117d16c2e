# Made by `chatello completion bash`; do not edit.
_chatello() {
	local word=${COMP_WORDS[COMP_CWORD]} words=
	local noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]}
	if [ "$COMP_CWORD" -eq 1 ]; then
		words='init up status doctor license customer plan workspace price key provider route capture event usage analytics man completion --help --version --conf'
	else
	case "$noun $verb" in
	'license issue') words="--json --help --data --email --plan --months --domain --name --workspace --cycle --price --note --trial" ;;
	'license insert') words="--json --help --data --email --plan --months --domain --name --workspace --cycle --price --note --trial" ;;
	'license show') words="--json --help --data" ;;
	'license list') words="--json --help --data --workspace --plan --status --email" ;;
	'license suspend') words="--json --help --data --reason" ;;
	'license resume') words="--json --help --data --reason" ;;
	'license renew') words="--json --help --data --months" ;;
	'license cancel') words="--json --help --data --at-end --reason" ;;
	'license verify') words="--json --help --data --domain" ;;
	'customer list') words="--json --help --data --workspace" ;;
	'customer show') words="--json --help --data --workspace" ;;
	'plan list') words="--json --help --data --workspace" ;;
	'plan set') words="--json --help --data --name --price-month --price-year --feature --limit --grace-days --trial-days --archived --workspace" ;;
	'workspace list') words="--json --help --data" ;;
	'workspace set') words="--json --help --data --limit --workspace" ;;
	'price list') words="--json --help --data --at --all" ;;
	'price set') words="--json --help --data --input --output --cache-read --cache-write --cache-write-1h --per-request --charge-bp --from --to" ;;
	'price import') words="--json --help --data --dry-run --from" ;;
	'price remove') words="--json --help --data --from" ;;
	'key set') words="--json --help --data --name --weight --enabled --file --keep" ;;
	'key list') words="--json --help --data" ;;
	'key test') words="--json --help --data" ;;
	'key remove') words="--json --help --data --name" ;;
	'key rotate') words="--json --help --data" ;;
	'provider list') words="--json --help --data" ;;
	'provider set') words="--json --help --data --base-url --auth --default-model" ;;
	'provider remove') words="--json --help --data" ;;
	'route list') words="--json --help --data" ;;
	'route set') words="--json --help --data --model --provider --fallback" ;;
	'route remove') words="--json --help --data" ;;
	'capture on') words="--json --help --data --for" ;;
	'capture show') words="--json --help --data" ;;
	'capture off') words="--json --help --data" ;;
	'event list') words="--json --help --data --after --type --limit --workspace" ;;
	'event tail') words="--json --help --data --lines --follow" ;;
	'event verify') words="--json --help --data" ;;
	'usage show') words="--json --help --data" ;;
	'usage export') words="--json --help --data --format --from --to --license --workspace" ;;
	'analytics show') words="--json --help --data --from --to --workspace" ;;
	'analytics replay') words="--json --help --data" ;;
	'completion bash') words="--json --help --data" ;;
	*) case "$noun" in
	'init') words="--json --help --data" ;;
	'up') words="--json --help --data" ;;
	'status') words="--json --help --data" ;;
	'doctor') words="--json --help --data" ;;
	'license') words='issue insert show list suspend resume renew cancel verify' ;;
	'customer') words='list show' ;;
	'plan') words='list set' ;;
	'workspace') words='list set' ;;
	'price') words='list set import remove' ;;
	'key') words='set list test remove rotate' ;;
	'provider') words='list set remove' ;;
	'route') words='list set remove' ;;
	'capture') words='on show off' ;;
	'event') words='list tail verify' ;;
	'usage') words='show export' ;;
	'analytics') words='show replay' ;;
	'man') words="--json --help --data" ;;
	'completion') words='bash' ;;
	esac ;;
	esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _chatello chatello
