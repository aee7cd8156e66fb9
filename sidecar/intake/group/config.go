package group

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// Config is what a Member is told. Zero values mean the default named beside a field; the rest is required.
type Config struct {
	Cluster    *cluster.Cluster
	GroupID    string
	InstanceID string // group.instance.id; empty: a dynamic member
	Topic      string
	ClientID   string // as the cluster's connections send it; here for log lines only

	SessionTimeout    time.Duration // session.timeout.ms; default 45 s
	RebalanceTimeout  time.Duration // max.poll.interval.ms; default 60 s
	HeartbeatInterval time.Duration // default 3 s; at most a third of the session is used

	// DrainTimeout is how long Owner.Revoke may let attempts run, less where the rebalance timeout is shorter than that plus 5 s. Default 20 s.
	DrainTimeout time.Duration
	// DrainContext bounds the Owner.Revoke of everything at the end of Run. nil: DrainTimeout.
	DrainContext func() (context.Context, context.CancelFunc)
	// StopRest is what there is after the deadline of DrainContext for the last commits and for leaving the group. 0: as long as each may take.
	StopRest time.Duration

	// MetadataInterval is how often every member looks at the topic; default, and at most, 30 s.
	MetadataInterval time.Duration
	// OnTopic gets each look at the topic, on a goroutine of the member's. It must return quickly.
	OnTopic func(cluster.Topic)

	RetryBackoff, RetryBackoffMax time.Duration // waits after failures, exponential with jitter; defaults 100 ms and 10 s

	// OnRebalance is called when a generation begins for us, with the reason that we joined for. OnHeartbeat is called when a heartbeat was
	// acknowledged, with the time of the answer. Both must return quickly; either may be nil.
	OnRebalance func(generation int32, reason string)
	OnHeartbeat func(ack time.Time)

	Logger *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now; must carry a monotonic reading
}

// Owner is told what the member owns. Assigned and Lost are called by the group's loop and hold it up: they must return quickly. Revoke has a
// goroutine of its own. Calls for one partition are strictly ordered; see the package comment.
type Owner interface {
	// Assigned gives partitions that are newly ours, each with nothing running from before. ctx ends with Run, not with the ownership.
	Assigned(ctx context.Context, partitions []int32)
	// Revoke asks to let go: start nothing new, drop what waits, let running attempts end until ctx is done and then cancel them, make the
	// final commit through Member.Commit, return. The partitions are ours, and heartbeats go on, until it returns. ctx ends with the cause
	// ErrLost when the membership is lost meanwhile: then there is nothing left to commit.
	Revoke(ctx context.Context, partitions []int32)
	// Lost says that the partitions are gone already and may have another owner soon: cancel everything at once, commit nothing.
	Lost(partitions []int32)
}

// Errors of ownership; test with errors.Is.
var (
	// ErrNotOwned is the result of a commit for a partition that is not ours, or was lost before the commit was acknowledged.
	ErrNotOwned = errors.New("partition is not owned by this member")
	// ErrLost is the cause with which the context of a Revoke ends when the membership is lost.
	ErrLost = errors.New("group membership lost")

	errDrainOver = errors.New("time for draining is over")
)

// lookInterval bounds MetadataInterval: partitions that were added are not read before someone looks.
const lookInterval = 30 * time.Second

func (c Config) withDefaults() Config {
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 45*time.Second)
	c.RebalanceTimeout = cmp.Or(c.RebalanceTimeout, time.Minute)
	// Two heartbeats may be lost before the lease runs out.
	c.HeartbeatInterval = min(cmp.Or(c.HeartbeatInterval, 3*time.Second), c.SessionTimeout/3)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 20*time.Second)
	c.MetadataInterval = min(cmp.Or(c.MetadataInterval, lookInterval), lookInterval)
	c.RetryBackoff = cmp.Or(c.RetryBackoff, 100*time.Millisecond)
	c.RetryBackoffMax = max(cmp.Or(c.RetryBackoffMax, 10*time.Second), c.RetryBackoff)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// patience is how long a request to the coordinator waits, other than one that waits for other members.
func (c *Config) patience() time.Duration { return min(5*time.Second, c.SessionTimeout/3) }

// drainBudget is how long a rebalance may be held up for what we drain.
func (c *Config) drainBudget() time.Duration {
	const margin = 5 * time.Second
	if c.RebalanceTimeout <= 2*margin {
		return min(c.DrainTimeout, c.RebalanceTimeout/2)
	}
	return min(c.DrainTimeout, c.RebalanceTimeout-margin)
}
