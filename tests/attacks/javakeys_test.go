package attacks

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/realkafka"
)

// javaProducer sends each base64 line of its standard input as the key of a record, with the Java client as it comes.
const javaProducer = `
import java.util.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Keys {
    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        try (var producer = new KafkaProducer<byte[], byte[]>(p, new ByteArraySerializer(), new ByteArraySerializer());
             var in = new Scanner(System.in)) {
            while (in.hasNextLine()) {
                producer.send(new ProducerRecord<>(args[1], Base64.getDecoder().decode(in.nextLine()), new byte[0]), (sent, error) -> {
                    if (error != null) {
                        error.printStackTrace();
                        System.exit(1);
                    }
                });
            }
        }
    }
}
`

// produceWithJava writes a record for each key with Kafka's own Java client.
func produceWithJava(t *testing.T, c *realkafka.Cluster, topic string, keys [][]byte) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "Keys.java")
	if err := os.WriteFile(source, []byte(javaProducer), 0o600); err != nil {
		t.Fatal(err)
	}
	var in strings.Builder
	for _, key := range keys {
		fmt.Fprintln(&in, base64.StdEncoding.EncodeToString(key))
	}
	// java compiles a source file that it is given by itself.
	cmd := exec.CommandContext(t.Context(), "java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", c.ClassPath(), source, c.Bootstrap(), topic)
	cmd.Stdin = strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("produce with the Java client: %v\n%s", err, out)
	}
}

func TestLettersAreWhereTheJavaClientPutsTheirKeys(t *testing.T) {
	t.Parallel()
	b := harness.Real(t)
	topic, dead, java := b.CreateTopic(1), b.CreateTopic(7), b.CreateTopic(7)
	keys := [][]byte{{}, {0}, {0xff}, []byte("schlüssel"), []byte("鍵"), []byte("ключ-1"), []byte("🔑"), []byte("a\x00b"), {0xc3, 0x28}, {0x80, 0x80, 0x80, 0x80}}
	for n := range 400 { // all lengths up to a hundred, and then some
		keys = append(keys, noise(byte(n), 1+n%100))
	}
	keys = append(keys, noise(1, 1000), noise(2, 4095), noise(3, 4096))
	var records []*kgo.Record
	for i, key := range keys {
		records = append(records, &kgo.Record{Topic: topic, Key: key, Value: fmt.Append(nil, i)})
	}
	b.ProduceAt(records...)
	h := harness.NewHandler(t, func(harness.Call) harness.Answer { return harness.Answer{Status: http.StatusUnprocessableEntity} })
	env := harness.TestEnv(b, topic, h).With("DEAD_LETTER_TOPIC", dead, "FAILURE_LIMIT", "off")
	harness.Start(t, env)
	produceWithJava(t, b.Real, java, keys)
	b.WaitCommitted(env.Group(), topic)
	want := map[string]int32{}
	for _, r := range b.ReadAll(java) {
		want[string(r.Key)] = r.Partition
	}
	used := map[int32]bool{}
	letters := b.ReadAll(dead)
	for _, l := range letters {
		p, ok := want[string(l.Key)]
		if !ok || p != l.Partition {
			t.Errorf("the letter of key %q is on partition %d, the Java client puts it on %d (%v)", l.Key, l.Partition, p, ok)
		}
		used[l.Partition] = true
	}
	if len(letters) < len(keys) || len(used) != 7 {
		t.Errorf("%d letters of %d keys on %d of 7 partitions", len(letters), len(keys), len(used))
	}
}
