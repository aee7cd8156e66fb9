package restateserver_test

import (
	"fmt"
	"testing"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
	"github.com/kafka-sidecar/kafka-sidecar/tests/restateserver"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestServerKeepsItsDataOverStopAndKill(t *testing.T) {
	s := restateserver.Start(t, restateserver.Options{KafkaClusters: `[{name="static",brokers=["broker.invalid:9092"]}]`})
	s.CreateCluster("dynamic", map[string]string{"bootstrap.servers": "broker.invalid:9092"})
	clusters := func() string {
		status, answer, err := s.Do(t, "GET", s.Admin+"/kafka-clusters/dynamic", nil)
		return fmt.Sprint(status, string(answer), err)
	}
	before := clusters()
	s.Stop()
	s.Start()
	if got := clusters(); got != before {
		t.Errorf("after a stop: %s, before: %s", got, before)
	}
	s.Kill()
	s.Start()
	if got := clusters(); got != before {
		t.Errorf("after a kill: %s, before: %s", got, before)
	}
	if rows := s.Query("select count(*) as n from sys_invocation"); fmt.Sprint(rows) != "[map[n:0]]" {
		t.Errorf("rows: %v", rows)
	}
}
