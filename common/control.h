/* The control socket: how the CLI and the HTTP process speak with a running supervisor.
 *
 * RUN_DIR/control is a UNIX stream socket, mode 0600 in a 0700 folder; only processes of the same user (or root) are
 * answered (SO_PEERCRED). The HTTP process, which can make no socket, is given connections by the supervisor
 * (supervisor/http_listener.c). A request is a JSON object on one line, at most CONTROL_MAX bytes. The answer is one JSON
 * object a line: {"exit": N, …}, N being the exit code that the CLI ends with; with N != 0 also
 * "complaint", a sentence for standard error.
 *
 * A connection may carry many requests, or one: requests are answered in their order, and the next request is read when
 * the answer to the last has been sent whole. So the supervisor doesn't read from a client that doesn't read its answers.
 * A client that has closed its writing side gets all answers that it has asked for; the last request of a client that has
 * closed altogether may or may not be carried out. Half a request never is. Between an answer and the next request, as
 * before the first, are at most REQUEST_MS (supervisor/control/control.h), then the connection is ended; a request that is
 * too long ends it, too. A client that asked for events gets nothing else on that connection.
 *
 *   {"verb":"status","agent":NAME?,"all_nodes"?:true,"rows"?:true}
 *                                              {"exit":0,"status":{…}}   the object of contract section 1; with
 *                                              all_nodes also the "node" of the supervisor, and of each agent; else with
 *                                              rows the keys of the CLI's table alone, without 0, null
 *                                              and []; a cost stays, for 0.0 isn't the same as unpriced
 *   {"verb":"metrics"}                         {"exit":0,"metrics":{…}}  the HTTP process's figures, counted since the
 *                                              supervisor started; histograms are {"counts":[…],"sum"}, a count for each
 *                                              bound and one for all above:
 *       {"node", "version", "ending": bool, "config_refused": bool, "bounds": {"cycle_ms":[…],"operation_ms":[…],"tokens":[…]}, "items_refused", "alerts_pending", "envelopes":
 *       [{"kind","status","count"}], "agents": [{"name","state","up","wanted","restarts","inbox","negative_streak",
 *       "divergences","pressure","window","unfinished","backlog","deferred","tasks":[of -1, of 0, of 1],"backpressure",
 *       "cycle_ms":HISTOGRAM,"models":[{"model","provider","error"?,"ms":HISTOGRAM,"tokens_in"?,"tokens_out"?}],
 *       "tokens_left"?,"cost_left"?,"cost_total"?}],"tokens_left"?,"cost_left"?}
 *   {"verb":"task","agent","text","id"?,"priority"?,"ttl_seconds"?,"lock"?,"wait"?:true,"whole"?:true}
 *                                              {"exit":0,"id":ID}  after the block is in queue.md and fsynced;
 *                                              with whole a known id with another priority, time to live
 *                                              or lock is refused as one with another text is;
 *                                              with wait a second line when the task has ended:
 *                                              {"exit":0,"id","end","reward","commit"}; end as in message.h;
 *                                              reward null: only its commit knows, its worker died
 *                                              (exit 0 for "done", 65 otherwise)
 *   {"verb":"cancel","agent","task"}           {"exit":0} or 66
 *   {"verb":"rollback","agent","commit"}       {"exit":0,"said"} the undone parts; waits for the end of the task in
 *                                              hand; 65, 66, 75
 *   {"verb":"send","agent","text","priority"?,"ttl_seconds"?}
 *                                              {"exit":0,"id":ID}  after the message is durable; 75: backpressure
 *   {"verb":"enqueue","queue","text","priority"?,"ttl_seconds"?}
 *                                              the same for an item; 66: no such queue
 *   {"verb":"requeue|purge","id":ID}           {"exit":0,"said"} or 66
 *   {"verb":"move","agent","node"?,"from_remote"?:true,"look"?:true}
 *                                              {"exit":0,"stage"} when the move has begun; 66, 75, 78. Without a node, with
 *                                              look: the last move's stage, "done" at its end, or why it failed. With
 *                                              from_remote: {"exit":0,"said","stage":""}, said names what the git remote
 *                                              does not have; with look, too, the move is not begun
 *   {"verb":"nodes","request":{"read":NAME,…}} the other nodes' answers to this request to agentos-reader
 *                                              (supervisor/reader/reader.h): {"exit":0,"here":this node's name or null
 *                                              without a bus,"nodes":[{"node","answer"}],"problems":[sentence]}, within
 *                                              FAR_READS_MS (supervisor/nodes/far_reads.h)
 *   {"verb":"events"}                          {"exit":0}, and then one line an event for as long as both live:
 *       {"time":"2026-04-29T10:05:12Z","agent":NAME?,"event":EVENT,…}
 *       state            from, to
 *       worker_started   pid
 *       worker_exited    pid, how: "exit 0", "signal 9"
 *       finished         task, reward, commit, tokens, end: as in message.h
 *       audit, audit_divergence   task, reward, audit_score, reasons, commit: the audit stands in rewards.md; the
 *                        second event comes when the audit gave another score than the agent; divergences: the
 *                        number of such audits since the supervisor started
 *       waiting          what: "provider", "storage" or "budget", until: a time or "", why: a sentence
 *       problem, problem_cleared   problem: a sentence
 *       scheduled        task: its schedule has put it into its queue
 *       negative_streak  count: so many -1 in a row, as often as the watchdog allows or more
 *       rolled_back      said: "COMMIT NAME(rollback): to COMMIT"
 *       envelope_accepted, envelope_delivered   id, kind, from, to, reason
 *       envelope_deferred, envelope_refused   id, kind, from, to, reason
 *       envelope_read, envelope_finished   id, kind, from, to, reason
 *       envelope_expired, envelope_failed   id, kind, from, to, reason
 *       envelope_bounced, envelope_set_aside   id, kind, from, to, reason
 *       envelope_removed, envelope_given_back   id, kind, from, to, reason
 *       envelope_requeued, envelope_purged   id, kind, from, to, reason
 *       lock_granted, lock_released   lock, task, token
 *       lock_expired     lock, task, token: the lease was over
 *       gateway_started, http_started   pid
 *       reload_applied, reload_refused   said
 *       supervisor_stopping
 *       lost             count: this reader was too slow for so many lines (FEED_MAX bytes are kept for it)
 *   {"verb":"start|stop|restart|kill|pause|resume","agent":NAME,"no_wait"?:true,"all"?:true}   {"exit":0} when the
 *                                              order is carried out; all: every agent gets the order, and an agent
 *                                              of another node is left alone: {"exit":0,"said"}
 */
#pragma once

#define CONTROL_SOCKET "control"
enum { CONTROL_MAX = 1024 * 1024 };

/* A byte of the HTTP process on its channel asks for a connection to this server, or to an agentos-reader, which takes
 * one request {"read": NAME, ...} and answers in the same way (supervisor/reader/reader.h). */
#define HTTP_ASKS_CONTROL 'c'
#define HTTP_ASKS_READER  'r'
