package invoke

import (
	"strconv"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// IdempotencyKey is the identity of a record: <cluster>/<group>/<topic>/<partition>/<offset>/<timestamp ms>. In cluster, group and topic every byte but
// A-Z a-z 0-9 - . _ ~ is percent-encoded in upper-case hexadecimal, so that a slash in a name makes no second key of the same text and a line break no invalid header.
// The timestamp is part of it because a topic that was deleted and made again starts at offset 0.
func IdempotencyKey(cluster, group, topic string, rec *record.Record) string {
	return string(appendIdempotencyKey([]byte(idempotencyPrefix(cluster, group, topic)), rec))
}

func idempotencyPrefix(cluster, group, topic string) string {
	var b []byte
	for _, part := range []string{cluster, group, topic} {
		b = append(appendEscaped(b, part, unreserved), '/')
	}
	return string(b)
}

func appendIdempotencyKey(b []byte, rec *record.Record) []byte {
	b = strconv.AppendInt(b, int64(rec.Partition), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, rec.Offset, 10)
	b = append(b, '/')
	return strconv.AppendInt(b, rec.Timestamp, 10)
}
