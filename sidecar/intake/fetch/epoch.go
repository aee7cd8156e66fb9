package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// epochVersion is the newest OffsetsForLeaderEpoch without tagged fields, from Kafka 2.3 on as the oldest Fetch that is used here.
const epochVersion = 3

// ErrNoEpochs says that the broker does not know OffsetsForLeaderEpoch v3.
var ErrNoEpochs = errors.New("broker does not tell where leader epochs end")

// EpochEnd is how far a leader's log agrees with one that has records of the epoch that was asked for, at most: Epoch is the highest
// epoch in it that is not above that one, and Offset is where it ends. Both are -1 where the log knows no such epoch.
type EpochEnd struct {
	Epoch  int32
	Offset int64
}

// AskEpochEnd asks a partition's leader, which must be in leaderEpoch, for the end of epoch in its log (KIP-320). The error is
// ErrNoEpochs, the broker's code as a kafka.Error, one of the connection, which is closed then, or cluster.ErrMalformed.
func AskEpochEnd(ctx context.Context, conn *cluster.Conn, timeout time.Duration, topic string, partition, leaderEpoch, epoch int32) (EpochEnd, error) {
	if newest, known := conn.MaxVersion(protocol.OffsetForLeaderEpoch); !known || newest < epochVersion {
		return EpochEnd{}, ErrNoEpochs
	}
	body := encodeEpoch(topic, partition, leaderEpoch, epoch)
	answer, err := conn.Exchange(ctx, timeout, protocol.OffsetForLeaderEpoch, epochVersion, false, body, nil)
	var end EpochEnd
	if err == nil {
		end, err = decodeEpoch(answer, topic, partition)
	}
	if err != nil {
		return EpochEnd{}, fmt.Errorf("ask %s for the end of leader epoch %d of partition %d: %w", conn.Addr(), epoch, partition, err)
	}
	return end, nil
}

// encodeEpoch writes the body of a request, see OffsetForLeaderEpochRequest.json in Kafka's sources.
func encodeEpoch(topic string, partition, leaderEpoch, epoch int32) []byte {
	var w cluster.Writer
	w.Int32(-1) // replica id: a consumer
	w.ArrayLen(1)
	w.String(topic)
	w.ArrayLen(1)
	w.Int32(partition)
	w.Int32(leaderEpoch)
	w.Int32(epoch)
	return w.B
}

// decodeEpoch reads the body of an answer, see OffsetForLeaderEpochResponse.json.
func decodeEpoch(body []byte, topic string, partition int32) (end EpochEnd, err error) {
	r := cluster.NewReader(body)
	r.Int32() // throttle time: one small request a leader change
	found := false
	for range r.ArrayLen() {
		ours := r.String() == topic
		for range r.ArrayLen() {
			code, id := r.Int16(), r.Int32()
			e := EpochEnd{Epoch: r.Int32(), Offset: r.Int64()}
			if ours && id == partition {
				end, found, err = e, true, nil
				if code != 0 {
					err = kafka.Error(code)
				}
			}
		}
	}
	switch {
	case r.Err() != nil:
		return EpochEnd{}, r.Err()
	case !found:
		return EpochEnd{}, fmt.Errorf("%w: it says nothing of the partition", cluster.ErrMalformed)
	}
	return end, err
}
