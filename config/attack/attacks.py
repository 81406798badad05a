"""What is tried against the gateway, and the test that does it.

Each is a test of the suite, against real processes wherever there is one to attack. A test of several cases tries
each of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """`tried`, and what `happens`, in words; `test` is its id: a path from the top, `::`, a function."""

    tried: str
    happens: str
    test: str


_CONTRACT = "config/tests/contract"
_POOLS = "config/tests/pools"
_REST = "proxy/rest/tests"
_SERVER = "proxy/server/tests"
_SESSIONS = "experience/sessions/tests"

SECTIONS: dict[str, tuple[Attack, ...]] = {
    "Messages": (
        Attack(
            "Three clients send empty texts, pings, refused refreshes, fragments of one byte or of none, as fast as they can",
            "a neighbour's messages and newcomers' handshakes go on; the floods are read no faster than their rates",
            f"{_CONTRACT}/test_floods.py::test_neighbours_and_newcomers_are_served_while_clients_flood",
        ),
        Attack(
            "One, ten and thirty links that send far beyond their rate, empty, short and big messages, as fast as they can",
            "what is dropped is read at a bounded pace: a bounded share of a processor",
            f"{_CONTRACT}/test_flood_cpu.py::test_floods_of_what_is_dropped_cost_a_bounded_share_of_a_processor",
        ),
        Attack(
            "A message in any number of empty fragments",
            "1009, and no memory",
            f"{_SERVER}/test_flow_control.py::test_a_message_in_a_million_fragments_is_refused_and_costs_no_memory",
        ),
        Attack(
            "A client that only pings and reads nothing",
            "it is not read on; no memory",
            f"{_SERVER}/test_flow_control.py::test_a_client_that_only_pings_is_soon_read_no_faster_than_it_may_and_costs_no_memory",
        ),
        Attack(
            "A gigabyte offered to an end that sleeps, either way",
            "its sender waits; memory stays where it was",
            f"{_CONTRACT}/test_flow_control.py::test_a_gigabyte_for_a_reader_that_sleeps_keeps_memory_flat_and_arrives_whole",
        ),
        Attack(
            "A message smuggled past a policy: fragmented, interleaved with control frames, cut at any byte",
            "the policy sees it whole, or it goes nowhere",
            "proxy/engine/links/tests/test_splice_policies.py::test_no_message_gets_past_a_policy_in_pieces",
        ),
        Attack(
            "An end of the link (kick, drain, expiry) at every byte of a stream, on every kind of scanner",
            "whole frames, then one valid close",
            "proxy/engine/links/tests/test_splice_ends.py::"
            "test_the_service_is_told_whole_frames_then_the_close_whichever_byte_the_end_comes_after",
        ),
        Attack(
            "A thousand random streams of lawful and broken frames, cut anywhere",
            "the same frames and the same end as the `websockets` library finds",
            "proxy/core/wire/tests/test_frames_reference.py::test_random_mutations_agree",
        ),
    ),
    "Handshakes": (
        Attack(
            "A crowd of connections that never send a request",
            "the oldest give way; everybody else is served",
            f"{_SERVER}/test_crowds.py::test_a_crowd_without_requests_locks_nobody_out_and_its_oldest_give_way",
        ),
        Attack(
            "Heads that drip, byte by byte",
            "ended by a deadline on the whole head",
            f"{_SERVER}/test_slow_requests.py::test_a_head_that_drips_is_ended_by_its_deadline",
        ),
        Attack(
            "Part of a head, a whole one, half a body, an upgrade or a message, and a reset behind it, a hundred times",
            "every file is closed at once; everybody else is served",
            f"{_SERVER}/test_resets.py::test_who_sends_and_resets_leaves_no_file_open_and_no_failure_in_the_log",
        ),
        Attack(
            "Slow HTTP requests in every place there is",
            "sockets are let in all the same",
            f"{_SERVER}/test_crowds.py::test_slow_requests_keep_no_socket_out_and_further_requests_are_told_to_come_back",
        ),
        Attack(
            "Requests for slow pages whose sender hangs up at once, again and again",
            "no more applications run for it than for who waits: 429, or 503 when all places are taken",
            f"{_SERVER}/test_crowds.py::test_who_asks_and_hangs_up_runs_no_more_applications_than_who_waits",
        ),
        Attack(
            "All places for requests taken, so that an orchestrator's probes fail and the node is killed",
            "one address gets a quarter of them; probes are answered",
            f"{_SERVER}/test_crowds.py::"
            "test_one_address_takes_a_share_of_the_places_and_probes_are_answered_when_all_are_taken",
        ),
        Attack(
            "A chunked body of tiny chunks",
            "refused at its head",
            f"{_SERVER}/test_slow_requests.py::test_a_chunked_body_is_refused_at_its_head_and_its_sender_can_read_why",
        ),
        Attack(
            "Control bytes in headers, sub-protocols that are no tokens, several Hosts or none",
            "400 before anything is dialled; no member is blamed",
            f"{_CONTRACT}/test_heads.py::test_a_head_that_is_not_clean_is_refused_and_never_blamed_on_a_member",
        ),
        Attack(
            "A page whose name is made to resolve to the gateway (DNS rebinding)",
            "no socket",
            f"{_CONTRACT}/test_heads.py::test_a_page_whose_name_is_made_to_resolve_to_us_gets_no_socket",
        ),
        Attack(
            "A handshake that no service could be asked, again and again, to shut a pool to everybody",
            "refused; the members stay in",
            f"{_POOLS}/test_blame.py::test_a_handshake_that_cannot_be_passed_on_is_refused_and_blames_no_member",
        ),
        Attack(
            "A service that answers a dial with 15,000 blanks where a number belongs",
            "a refusal, read in linear time",
            "proxy/engine/pools/tests/test_rawdial.py::"
            "test_a_busy_service_whose_retry_after_is_all_blanks_does_not_hold_the_loop",
        ),
        Attack(
            "A user whose messages make a service drop its links",
            "its links end; the members stay in for everybody else",
            f"{_POOLS}/test_blame.py::test_one_user_whose_links_make_a_service_drop_does_not_shut_its_members_to_others",
        ),
        Attack(
            "Twelve accounts whose messages make a service drop their links, at once, again and again",
            "the members stay in for everybody else, since they keep the others' links",
            f"{_POOLS}/test_blame.py::"
            "test_accounts_whose_links_make_a_service_drop_shut_no_member_that_keeps_the_links_of_others",
        ),
        Attack(
            "A client that leaves, or is cancelled, at any moment of its handshake",
            "every lease, topic and socket is given back",
            "proxy/socket/tests/test_released.py::test_a_client_that_leaves_in_any_turn_of_the_loop_leaves_nothing",
        ),
        Attack(
            "Forged X-Forwarded-For and the like from who is no trusted proxy",
            "ignored",
            "proxy/socket/tests/test_middleware.py::test_a_strangers_headers_are_ignored",
        ),
        Attack(
            "A client that says it is somebody else: `user_id`, X-User-Id",
            "dropped; the service hears the token's user",
            f"{_POOLS}/test_balancing.py::test_the_instance_is_told_who_the_client_is_and_nobody_can_lie",
        ),
        Attack(
            "More connections than allowed of one address, over two nodes",
            "429 with the time to come back, or 4013",
            f"{_POOLS}/test_admission.py::test_the_eleventh_connection_of_an_address_is_refused_on_any_node",
        ),
    ),
    "Tokens": (
        Attack(
            "`alg: none`",
            "401",
            "proxy/tests/test_forged_tokens.py::test_a_token_cannot_choose_to_have_no_signature",
        ),
        Attack(
            "The public key as an HMAC secret",
            "401",
            "proxy/tests/test_forged_tokens.py::test_the_public_key_is_no_hmac_secret",
        ),
        Attack(
            "Keys and addresses of keys inside the token (`jwk`, `jku`, `x5u`)",
            "not looked at",
            "proxy/tests/test_forged_tokens.py::test_keys_and_addresses_of_keys_inside_a_token_are_not_looked_at",
        ),
        Attack(
            "Signed tokens with absurd claims: huge, nested, infinite, in milliseconds",
            "a sound identity or a known refusal",
            "proxy/tests/test_tokens.py::test_whatever_an_issuer_signs_gives_a_sound_principal_or_a_known_refusal",
        ),
        Attack(
            "A flood of invented key ids, so that the issuer is asked again and again",
            "the issuer is asked no faster than it may; others are not held up",
            "config/tests/test_jwks.py::test_invented_key_ids_cost_neither_the_issuer_nor_anybody_else",
        ),
        Attack(
            "A token looked for in every log line, record and metric afterwards",
            "found in none",
            f"{_CONTRACT}/test_observability.py::test_no_token_reaches_a_log_a_record_or_a_metric",
        ),
        Attack(
            "One ticket shown by two sockets at once, on two nodes, fifty times",
            "one of the two comes in, each time",
            f"{_CONTRACT}/test_one_time_tickets.py::test_of_two_sockets_that_race_with_one_ticket_exactly_one_wins_fifty_times",
        ),
        Attack(
            "A ticket shown again, too late, on another route or from another address",
            "`ticket_refused`, and it is used up",
            f"{_CONTRACT}/test_one_time_tickets.py::test_what_a_ticket_was_not_bought_for_it_does_not_open",
        ),
        Attack(
            "A ticket that its client has changed, so that another route serves it",
            "it is none",
            "proxy/cluster/tests/test_tickets.py::test_a_ticket_under_another_name_is_none",
        ),
        Attack(
            "Redis read, and written to, for what tickets stand for",
            "neither ticket nor token is in it; what was changed lets nobody in",
            "proxy/cluster/tests/test_tickets.py::test_redis_keeps_nothing_that_could_be_read_and_forgets_it_in_time",
        ),
        Attack(
            "A ticket looked for in every log line, record and metric afterwards, and in what the service is asked",
            "found in none",
            f"{_CONTRACT}/test_one_time_tickets.py::test_no_ticket_reaches_a_log_a_record_a_metric_or_the_service",
        ),
    ),
    "Staff pages": (
        Attack(
            "NUL, lone surrogates, bad addresses, huge numbers in every filter, id and form of admin, on PostgreSQL",
            "a page or a 4xx, never a 500",
            "proxy/admin/tests/test_admin_fuzz.py::test_forms_take_any_text",
        ),
        Attack(
            "Guessing one name's password from one address",
            "locked there after five, and nowhere else",
            "proxy/admin/tests/test_logins.py::test_a_name_that_fails_five_times_from_an_address_is_locked_there_and_only_there",
        ),
        Attack(
            "Forty guesses at once, to burn the CPU",
            "one is checked at a time; the rest wait or are sent away",
            "config/tests/test_logins.py::test_of_forty_guesses_at_once_one_is_checked_at_a_time_and_a_few_wait",
        ),
        Attack(
            "Claims of TLS from who is no trusted proxy",
            "not believed",
            "config/tests/test_http_security.py::test_who_is_no_trusted_proxy_cannot_claim_tls",
        ),
    ),
    "The HTTP API": (
        Attack(
            "Keys made up, tampered with, of another key's id",
            "401; most ask no database",
            "proxy/tables/tests/test_api_keys.py::test_what_is_no_key_opens_nothing",
        ),
        Attack(
            "Topics that a key was not given, nodes' own among them, also in the middle of a list",
            "403, and nothing of the list goes out",
            f"{_REST}/test_events.py::test_a_key_publishes_to_its_topics_alone",
        ),
        Attack(
            "Events that pass for the gateway's own words",
            "400",
            f"{_REST}/test_events.py::test_nobody_publishes_what_the_gateway_says",
        ),
        Attack(
            "A token whose user is called like a member of staff, or a superuser",
            "403: only what was given for tokens counts",
            f"{_REST}/test_events.py::test_a_token_may_what_its_user_was_given_for_tokens_and_nothing_else",
        ),
        Attack(
            "JSON nested 100,000 deep, half surrogate pairs, wrong kinds, too many events, misspelt fields",
            "400, and nothing goes out",
            f"{_REST}/test_events.py::test_what_could_not_be_meant_is_a_400_that_says_why",
        ),
        Attack(
            "Filters and cursors made up",
            "400 or 404",
            f"{_REST}/test_connections.py::test_what_is_no_filter_is_refused",
        ),
        Attack(
            "A key looked for in every log line, row and metric afterwards",
            "found in none",
            "config/tests/test_http_api.py::test_no_api_key_reaches_a_log_a_row_or_a_metric",
        ),
    ),
    "Sessions, and what others publish": (
        Attack(
            "Fifty clients that show a session's token at once, on two nodes",
            "one comes in",
            f"{_SESSIONS}/test_sessions_of_two_nodes.py::test_of_fifty_who_show_a_token_on_two_nodes_one_comes_in",
        ),
        Attack(
            "A client that leaves once its token is asked for",
            "the token is given back",
            f"{_SESSIONS}/test_sessions_of_two_nodes.py::test_a_token_comes_back_when_its_handshake_ends_after_it_was_asked_for",
        ),
        Attack(
            "A place to come back to that is none: words, digits of other alphabets, a line too many",
            "400",
            f"{_SESSIONS}/test_durable_sessions.py::test_a_since_that_is_none_is_refused",
        ),
        Attack(
            "A client that reads nothing of what its agent says",
            "1008 at the bound; thirty neighbours hear all",
            f"{_SESSIONS}/test_slow_viewers.py::test_a_client_that_does_not_read_is_closed_at_its_bound_and_its_neighbours_hear_all",
        ),
        Attack(
            "Messages of 256 KiB that cost a parser most, as many as the gateway takes",
            "they cost it a tenth; a neighbour's ping comes as beside nobody",
            f"{_SESSIONS}/test_messages.py::test_a_big_message_costs_a_small_part_of_what_it_takes_to_parse_it",
        ),
        Attack(
            "A place far behind in a durable session of 2,000 messages",
            "Redis looks for it as long as for one of ten",
            f"{_SESSIONS}/test_stream.py::test_to_find_a_place_costs_the_same_however_much_is_behind_it",
        ),
        Attack(
            "A durable session of messages that fill an outbox at one read, and weigh six times as much on the way",
            "they come as there is room; nobody is closed",
            f"{_SESSIONS}/test_durable_sessions.py::test_one_read_that_is_more_than_an_outbox_holds_closes_nobody",
        ),
        Attack(
            "Odd bytes in subjects, reply subjects and headers of NATS, over Pub/Sub and in a stream",
            "the bridge goes on, and passes what can be passed",
            "proxy/bridges/tests/test_nats_client.py::test_no_bytes_that_somebody_publishes_end_a_session",
        ),
        Attack(
            "A NATS, or who stands in between, that answers a `tls://` URL without TLS",
            "nothing is said to it; where it offers TLS, that is spoken",
            "proxy/bridges/tests/test_nats_client.py::test_a_url_of_tls_is_never_served_in_the_clear",
        ),
        Attack(
            "Answers of the KB that are none: pages, redirects, NaN, half surrogate pairs, texts that are too long",
            "an error that says nothing inner",
            "experience/actions/tests/test_client.py::test_what_is_no_answer_becomes_an_error_that_says_nothing_inner",
        ),
    ),
    "What the gateway stands on": (
        Attack(
            "SQLite locked for as long as a program likes",
            "nobody's messages wait",
            f"{_CONTRACT}/test_database.py::test_a_locked_sqlite_stops_nobodys_messages",
        ),
        Attack(
            "PostgreSQL that falls silent, with a new one at the same name",
            "found within 20 s; the process can always end",
            f"{_CONTRACT}/test_database.py::test_a_silent_failover_heals_within_twenty_seconds_and_never_holds_up_the_exit",
        ),
        Attack(
            "A KB that swallows dials",
            "the studio's dials are not held up",
            f"{_POOLS}/test_kb.py::test_a_black_holed_kb_holds_up_no_dial_to_the_studio",
        ),
        Attack(
            "Links that come and go for as long as Redis is away",
            "no memory; limits hold on each node",
            "proxy/engine/admission/tests/test_caps.py::test_links_that_come_and_go_while_redis_is_away_cost_no_memory",
        ),
        Attack(
            "A product's own code that raises, in every hook there is",
            "the client is told, everything is given back, the log names the hook",
            "proxy/socket/tests/test_failing_hooks.py::test_a_hook_that_raises_is_named_and_answered_with_500",
        ),
    ),
}
