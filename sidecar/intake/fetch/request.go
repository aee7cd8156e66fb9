package fetch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
)

// The versions in use: 11 is the newest that needs no topic id (Kafka 2.3 to 4.x), 13 names the topic by id (Kafka 3.1).
const (
	versionByName = 11
	versionByID   = 13
)

// ErrOldBroker says that the broker does not speak Fetch v11, which Kafka 2.3 brought.
var ErrOldBroker = errors.New("broker older than Kafka 2.3")

// Request asks for the records of one partition from an offset on.
type Request struct {
	Topic             string
	TopicID           [16]byte // zero: unknown
	Partition         int32
	Offset            int64
	LeaderEpoch       int32 // the epoch that the leader must be in (KIP-320); -1 is not compared
	MaxWait           time.Duration
	MinBytes          int32
	MaxBytes          int32 // of the answer; the first batch comes whole even if it is larger (KIP-74)
	PartitionMaxBytes int32
	ReadCommitted     bool
	Rack              string // for a replica that is near (KIP-392)
}

// Response is what the broker says of the partition.
type Response struct {
	Err              error // a kafka.Error, of the partition or of the whole answer; the rest says nothing then
	HighWatermark    int64 // -1 unknown, as the next two
	LastStable       int64
	LogStart         int64
	PreferredReplica int32         // broker to fetch from instead, with no records here; -1 none
	Throttle         time.Duration // the broker answers nothing on this connection for so long (KIP-219)
	Aborted          []Aborted
	Records          []byte // record set; aliases what Space gave
}

// Do makes one round trip within timeout, which must leave room beyond MaxWait. The answer is read into what space gives, see cluster.Conn.Exchange: one
// whole batch comes however little was asked for, so that its size is known only then. The error is one of the connection, which is closed then, or of an answer that makes no sense (cluster.ErrMalformed).
//
// The topic is named by id where the broker speaks v13 and the id is known: it then refuses a topic that was deleted and created again with
// kafka.UnknownTopicID or kafka.InconsistentTopicID (KIP-516), where by name it would answer from the new topic's log.
func Do(ctx context.Context, conn *cluster.Conn, timeout time.Duration, req Request, space cluster.Space) (Response, error) {
	version, err := pick(conn, req)
	if err != nil {
		return Response{}, err
	}
	answer, err := conn.Exchange(ctx, timeout, protocol.Fetch, version, version >= versionByID, encode(req, version), space)
	if err != nil {
		return Response{}, fmt.Errorf("fetch partition %d at offset %d: %w", req.Partition, req.Offset, err)
	}
	resp, err := decode(answer, req, version)
	if err != nil {
		err = fmt.Errorf("fetch partition %d at offset %d: decode the answer of %s: %w", req.Partition, req.Offset, conn.Addr(), err)
	}
	return resp, err
}

func pick(conn *cluster.Conn, req Request) (int16, error) {
	newest, _ := conn.MaxVersion(protocol.Fetch)
	switch {
	case newest >= versionByID && req.TopicID != [16]byte{}:
		return versionByID, nil
	case newest >= versionByName:
		return versionByName, nil
	}
	return 0, fmt.Errorf("fetch from %s: %w: it speaks Fetch up to v%d, v%d is needed", conn.Addr(), ErrOldBroker, newest, versionByName)
}

// encode writes the body of a request, see FetchRequest.json in Kafka's sources.
func encode(req Request, version int16) []byte {
	byID := version >= versionByID
	w := cluster.Writer{B: make([]byte, 0, 128+len(req.Topic)+len(req.Rack))}
	array := func(n int) {
		if byID {
			w.CompactArrayLen(n)
		} else {
			w.ArrayLen(n)
		}
	}
	tags := func() {
		if byID {
			w.Tags()
		}
	}
	w.Int32(-1) // replica id: a consumer
	w.Int32(int32(min(req.MaxWait.Milliseconds(), math.MaxInt32)))
	w.Int32(req.MinBytes)
	w.Int32(req.MaxBytes)
	if req.ReadCommitted {
		w.Int8(1)
	} else {
		w.Int8(0)
	}
	w.Int32(0)  // session id
	w.Int32(-1) // session epoch: every request is complete, sessions (KIP-227) pay off with many partitions on a connection
	array(1)
	if byID {
		w.UUID(req.TopicID)
	} else {
		w.String(req.Topic)
	}
	array(1)
	w.Int32(req.Partition)
	w.Int32(req.LeaderEpoch)
	w.Int64(req.Offset)
	if byID {
		w.Int32(-1) // last fetched epoch: for replicas (KIP-595)
	}
	w.Int64(-1) // log start: for replicas
	w.Int32(req.PartitionMaxBytes)
	tags()
	tags()
	array(0) // forgotten topics: of sessions
	if byID {
		w.CompactString(req.Rack)
	} else {
		w.String(req.Rack)
	}
	tags()
	return w.B
}

// answer reads the primitives of a response in the form of its version.
type answer struct {
	*cluster.Reader
	flexible bool
}

func (a answer) array() int {
	if a.flexible {
		return a.CompactArrayLen()
	}
	return a.ArrayLen()
}

// tags skips what v12 and later say beside an error code (diverging epoch, current leader, snapshot): the code is enough to look up the leader again.
func (a answer) tags() {
	if a.flexible {
		a.Tags()
	}
}

// records reads nullable bytes without copying them.
func (a answer) records() []byte {
	if a.flexible {
		if n := a.Uvarint(); n > 0 {
			return a.Bytes(int(n - 1))
		}
		return nil
	}
	if n := a.Int32(); n != -1 {
		return a.Bytes(int(n))
	}
	return nil
}

// decode reads the body of an answer, see FetchResponse.json in Kafka's sources.
func decode(body []byte, req Request, version int16) (Response, error) {
	a := answer{cluster.NewReader(body), version >= versionByID}
	throttle := time.Duration(max(0, a.Int32())) * time.Millisecond
	var whole error
	if code := a.Int16(); code != 0 {
		whole = kafka.Error(code)
	}
	a.Int32() // session id
	resp, found := nothing(), false
	for range a.array() {
		var ours bool
		if version >= versionByID {
			ours = a.UUID() == req.TopicID
		} else {
			ours = a.String() == req.Topic
		}
		for range a.array() {
			id, p := a.partition()
			if ours && id == req.Partition {
				resp, found = p, true
			}
		}
		a.tags()
	}
	a.tags()
	switch err := a.Err(); {
	case err != nil:
		return nothing(), err
	case whole != nil:
		resp = nothing()
		resp.Err = whole
	case !found:
		return nothing(), fmt.Errorf("%w: it says nothing of the partition", cluster.ErrMalformed)
	}
	resp.Throttle = throttle
	return resp, nil
}

func (a answer) partition() (id int32, p Response) {
	id = a.Int32()
	if code := a.Int16(); code != 0 {
		p.Err = kafka.Error(code)
	}
	p.HighWatermark, p.LastStable, p.LogStart = a.Int64(), a.Int64(), a.Int64()
	if n := a.array(); n > 0 {
		p.Aborted = make([]Aborted, 0, min(n, a.Remaining()/16))
		for i := 0; i < n && a.Err() == nil; i++ {
			p.Aborted = append(p.Aborted, Aborted{ProducerID: a.Int64(), FirstOffset: a.Int64()})
			a.tags()
		}
	}
	p.PreferredReplica = a.Int32()
	p.Records = a.records()
	a.tags()
	return id, p
}

// nothing is a Response in which nothing is known.
func nothing() Response {
	return Response{HighWatermark: -1, LastStable: -1, LogStart: -1, PreferredReplica: -1}
}
