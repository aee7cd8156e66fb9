package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/intake"
)

// Probe reaches the broker and the topic as a run would, joins nothing and commits nothing, and says what it found.
func Probe(ctx context.Context, cfg *envconfig.Config) (string, error) {
	c, err := cluster.New(clusterConfig(cfg, slog.New(slog.DiscardHandler)))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.Check(ctx); err != nil {
		return "", err
	}
	topic, err := c.Topic(ctx, cfg.Subscription.Topic)
	if err != nil {
		return "", fmt.Errorf("look up topic %q: %w", cfg.Subscription.Topic, err)
	}
	var found strings.Builder
	fmt.Fprintf(&found, ", topic %q has %d partitions", topic.Name, len(topic.Partitions))
	if !cfg.Function.Enabled { // there the event source mapping keeps the position
		if err := probePosition(ctx, cfg, c, topic, &found); err != nil {
			return "", err
		}
	}
	if err := probeDeadLetters(ctx, cfg, c, &found); err != nil {
		return "", err
	}
	return found.String(), nil
}

// probePosition says where a run would begin.
func probePosition(ctx context.Context, cfg *envconfig.Config, c *cluster.Cluster, topic cluster.Topic, found *strings.Builder) error {
	in := intake.New(intakeConfig(cfg, c, slog.New(slog.DiscardHandler)), nil)
	at := StartAt(cfg.Run.StartAt, time.Now())
	has, err := in.HasCommits(ctx, topic)
	switch {
	case err != nil:
		return err
	case has:
		fmt.Fprintf(found, "; group %q has committed offsets and resumes there", cfg.Kafka.GroupID)
	case at.Refuse:
		return in.RefuseStart()
	default:
		unread, err := intake.Unread(ctx, c, topic, at, cfg.Kafka.ReadCommitted)
		if err != nil {
			return err
		}
		fmt.Fprintf(found, "; group %q is new and starts at %s: %d existing records will not be read", cfg.Kafka.GroupID, at, unread)
	}
	if end := EndAt(cfg.Run.EndAt, time.Now()); end.IsSet() {
		ends, err := intake.ResolveEnds(ctx, c, topic, end, cfg.Kafka.ReadCommitted)
		if err != nil {
			return err
		}
		fmt.Fprintf(found, "; END_AT %s ends before %s", end, shownEnds(ends))
	}
	return nil
}

// probeDeadLetters says whether the dead-letter topic could be written.
func probeDeadLetters(ctx context.Context, cfg *envconfig.Config, c *cluster.Cluster, found *strings.Builder) error {
	target, err := deadLetterTarget(cfg, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if target != nil && cfg.DeadLetter.Topic != "" {
		defer target.Close()
		if err := target.Check(ctx); err != nil {
			return err
		}
		fmt.Fprintf(found, "; dead-letter topic %q can be written", cfg.DeadLetter.Topic)
	}
	return nil
}

// maxEndsShown bounds how many partitions are listed with their end.
const maxEndsShown = 32

// shownEnds lists the end of each partition as <partition>@<offset>.
func shownEnds(ends map[int32]int64) string {
	var shown []string
	for i, id := range slices.Sorted(maps.Keys(ends)) {
		if i == maxEndsShown {
			shown = append(shown, fmt.Sprintf("and %d more", len(ends)-i))
			break
		}
		shown = append(shown, fmt.Sprintf("%d@%d", id, ends[id]))
	}
	return strings.Join(shown, ", ")
}
