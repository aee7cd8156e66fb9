// Package group is the sidecar's membership in a Kafka consumer group: the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup),
// cooperative and sticky, with static members when asked for.
//
// # The story
//
// A [Member] joins, is given partitions and tells its [Owner]. While the Owner works on them the member sends heartbeats, whatever else
// happens. When the group changes the member joins again at once and says in its join what it owns; everything it owns goes on running. The
// leader's assignment (assign.go, a pure function) keeps what it can where it is, and gives a partition that must move to nobody until its
// owner has let go (KIP-429). The owner learns from the assignment that a partition is no longer its own, drains it in a goroutine of its own
// (Owner.Revoke), and joins once more when that has returned: only then can the leader hand the partition on. A partition that stays sees no
// call at all.
//
// Nothing that may heal takes partitions away: a cut connection, a slow or restarted or moved coordinator (codes 14, 15, 16) keeps the member
// id and the generation, and heartbeats go on with the next coordinator. What takes them away is the coordinator's word that we are out
// (UNKNOWN_MEMBER_ID 25, FENCED_INSTANCE_ID 82, ILLEGAL_GENERATION 22 on a heartbeat) and the lease.
//
// # The lease
//
// The coordinator gives our partitions to others when it has heard no heartbeat for a session timeout. It counts from when it received the
// last one, we count from when we sent it, and end two seconds early: [Member.MayStart] is false from then on, the Owner is told that all is
// lost, and only then may another member own what we had. Both clocks are asked, because the monotonic clock stands still while a machine
// sleeps. A membership that begins is confirmed by a heartbeat, sent at once, before anything starts. See lease.go.
//
// # Who owns what
//
// One goroutine, the loop in [Member.Run], decides everything: it is the only writer of the membership state and the only caller of
// Owner.Assigned and Owner.Lost. Goroutines that wait for the network report to it by channels and decide nothing:
//
//   - a round (join.go): one JoinGroup and its SyncGroup, at most one at a time, because a JoinGroup blocks its connection for as long as the
//     slowest member takes; uses the connection joins;
//   - the heartbeats (heartbeat.go); uses the connection beats;
//   - the topic watcher (watch.go);
//   - a drain for each Owner.Revoke, which reports its return.
//
// Commits and offset fetches run on their callers' goroutines, one at a time, on the connection commits, under the token in turn. A commit
// belongs to the assignment under which it was asked for, and ends with the membership. Calls of the
// Owner for one partition are strictly ordered: Assigned, then either Lost, or Revoke and its return; an assignment of a partition whose
// Revoke has not returned waits for it. A partition that is lost while its Revoke runs gets no Lost: the Revoke's context ends with the cause
// [ErrLost] instead.
//
// Locks: turn before mu, never the other way round; mu is held for a few map operations only, never during I/O or a call of the Owner.
//
// # On the wire
//
// Every request is encoded here (wire.go) at one fixed version, none of them flexible, all known since Kafka 2.3, but for the question that
// keeps us out of groups of another kind (foreign.go), asked where a broker knows it. kafka-go's structs would
// be sent at whatever version broker and library agree on, and several of its layouts are wrong there: the answers of Heartbeat and LeaveGroup
// have error code and throttle time swapped, SyncGroup v5 lacks the compact strings.
//
// The group's only protocol is called "kafka-sidecar", never "range" or "roundrobin", so that the broker refuses a mixed group (code 23)
// instead of letting one kind of client break the other. The bytes keep the layout of Kafka's consumer protocol, so that
// kafka-consumer-groups --describe and lag exporters show members and partitions (consumerproto.go).
package group
