package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// Versions of Produce that are spoken, by hand: kafka-go's message takes records and encodes them itself, without a sequence.
const (
	oldestProduce = 3 // first with record batches v2
	zstdProduce   = 7 // first whose brokers know zstd (KIP-110)
	newestProduce = 8 // last before the flexible versions, which say nothing more that we need
)

var errTooOld = errors.New("the broker accepts no version of Produce that this program speaks")

// acksAll asks for an answer only once all in-sync replicas have the batch.
const acksAll = -1

// produce sends one batch to the partition and gives the broker's verdict on it. After any other error the connection is gone.
func (w *writer) produce(ctx context.Context, version int16, batch []byte) error {
	timeout := w.topic.cfg.RequestTimeout
	q := cluster.Writer{B: make([]byte, 0, 64+len(w.topic.cfg.Topic)+len(batch))}
	q.NullableString(nil) // no transaction
	q.Int16(acksAll)
	q.Int32(int32((timeout * 3 / 4) / time.Millisecond)) // the broker should give up before we do: its answer says more
	q.ArrayLen(1)
	q.String(w.topic.cfg.Topic)
	q.ArrayLen(1)
	q.Int32(w.partition)
	q.Int32(int32(len(batch)))
	q.B = append(q.B, batch...)
	body, err := w.conn.Exchange(ctx, timeout, protocol.Produce, version, false, q.B, nil)
	w.usedAt = time.Now()
	if err == nil {
		var code kafka.Error
		if code, err = w.verdict(version, body); err == nil && code == 0 {
			return nil
		} else if err == nil {
			return code
		}
	}
	w.hangUp()
	return err
}

// verdict reads the answer's error code for our partition. The broker's own text is left out: it may speak of the record.
func (w *writer) verdict(version int16, body []byte) (kafka.Error, error) {
	r := cluster.NewReader(body)
	verdict, found := kafka.Error(0), false
	for n := r.ArrayLen(); n > 0; n-- {
		topic := r.String()
		for n := r.ArrayLen(); n > 0; n-- {
			partition, code := r.Int32(), kafka.Error(r.Int16())
			r.Int64() // base offset
			r.Int64() // log append time
			if version >= 5 {
				r.Int64() // log start offset
			}
			if version >= 8 {
				for n := r.ArrayLen(); n > 0; n-- {
					r.Int32() // index of a bad record in the batch
					_ = r.String()
				}
				_ = r.String() // the broker's text
			}
			if topic == w.topic.cfg.Topic && partition == w.partition {
				verdict, found = code, true
			}
		}
	}
	if err := r.Err(); err != nil {
		return 0, fmt.Errorf("decode Produce v%d of %s: %w", version, w.conn.Addr(), err)
	}
	if !found {
		return 0, fmt.Errorf("decode Produce v%d of %s: %w: the partition is missing in the answer", version, w.conn.Addr(), cluster.ErrMalformed)
	}
	return verdict, nil
}
