package cluster

import (
	"context"
	"fmt"
	"strings"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// needed is which versions of an API this program can work with. The highest is what it speaks (by hand, or kafka-go's); the lowest is the
// first that can say what we mean.
var needed = map[protocol.ApiKey]struct {
	span
	why string // for the lowest
}{
	protocol.Metadata:         {span{4, 12}, "asks without creating the topic"},
	protocol.FindCoordinator:  {span{0, 2}, ""},
	protocol.JoinGroup:        {span{1, 7}, "has a rebalance timeout"},
	protocol.SyncGroup:        {span{0, 5}, ""},
	protocol.Heartbeat:        {span{0, 4}, ""},
	protocol.LeaveGroup:       {span{0, 4}, ""},
	protocol.OffsetCommit:     {span{2, 7}, "leaves the time of a commit to the broker"},
	protocol.OffsetFetch:      {span{2, 5}, "tells a failed answer from no commit"},
	protocol.Fetch:            {span{11, 13}, "has leader epochs and follower fetching"},
	protocol.ListOffsets:      {span{2, 5}, "knows the last stable offset"},
	protocol.Produce:          {span{3, 8}, "has record headers"},
	protocol.InitProducerId:   {span{0, 4}, ""},
	protocol.SaslHandshake:    {span{1, 1}, "frames the tokens"},
	protocol.SaslAuthenticate: {span{0, 1}, ""},
}

// consumer is what every run sends, in the order in which it is named.
var consumer = []protocol.ApiKey{
	protocol.Metadata, protocol.FindCoordinator, protocol.JoinGroup, protocol.SyncGroup, protocol.Heartbeat, protocol.LeaveGroup,
	protocol.OffsetCommit, protocol.OffsetFetch, protocol.Fetch, protocol.ListOffsets,
}

// Check connects to any broker and compares the versions that it accepts with those that the sidecar sends, and with those of the APIs in also
// (Produce and InitProducerId, where there is a dead-letter topic). It is meant for the start: kafka-go looks at a broker's highest version
// only, so that a broker which no longer accepts an old one would show as cut connections in the middle of the work. The error names every API
// that does not fit and wraps kafka.UnsupportedVersion.
func (c *Cluster) Check(ctx context.Context, also ...protocol.ApiKey) error {
	return c.ask(ctx, func(_ context.Context, conn *Conn) error {
		if c.cfg.Security.Mechanism != "" {
			also = append(also[:len(also):len(also)], protocol.SaslHandshake, protocol.SaslAuthenticate)
		}
		return conn.compare(append(consumer[:len(consumer):len(consumer)], also...))
	})
}

func (c *Conn) compare(apis []protocol.ApiKey) error {
	var wrong []string
	tooOld, tooNew := false, false
	for _, api := range apis {
		ours, ok := needed[api]
		if !ok {
			ours.span = span{api.MinVersion(), api.MaxVersion()}
		}
		theirs, ok := c.versions[api]
		switch {
		case !ok:
			tooOld = true
			wrong = append(wrong, fmt.Sprintf("%v is not offered", api))
		case theirs.max < ours.min:
			tooOld = true
			text := fmt.Sprintf("%v v%d is needed", api, ours.min)
			if ours.why != "" {
				text += " (it " + ours.why + ")"
			}
			wrong = append(wrong, fmt.Sprintf("%s, the broker offers v%d to v%d", text, theirs.min, theirs.max))
		case theirs.min > ours.max:
			tooNew = true
			wrong = append(wrong, fmt.Sprintf("%v is spoken up to v%d, the broker offers v%d to v%d", api, ours.max, theirs.min, theirs.max))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	var advice []string
	if tooOld {
		advice = append(advice, "Kafka 2.3 or newer is needed")
	}
	if tooNew {
		advice = append(advice, "the broker needs a newer kafka-sidecar")
	}
	return fmt.Errorf("compare versions with %s: %s: %s: %w", c.addr, strings.Join(wrong, "; "), strings.Join(advice, ", "), kafka.UnsupportedVersion)
}
