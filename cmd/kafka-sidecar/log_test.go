package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
)

func TestCloudLoggingIsToldTheSeverity(t *testing.T) {
	for _, cloudRun := range []bool{false, true} {
		var out strings.Builder
		log := newLogger(&envconfig.Config{Run: envconfig.Run{LogLevel: "debug", LogFormat: "json", CloudRun: cloudRun}}, &out)
		for _, c := range []struct {
			level    slog.Level
			name     string
			severity any
		}{{slog.LevelDebug, "DEBUG", "DEBUG"}, {slog.LevelInfo, "INFO", "INFO"}, {slog.LevelWarn, "WARN", "WARNING"}, {slog.LevelError, "ERROR", "ERROR"}} {
			out.Reset()
			log.Log(t.Context(), c.level, "said", slog.String("topic", "orders"))
			var line map[string]any
			if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
				t.Fatal(err)
			}
			if !cloudRun {
				c.severity = nil
			}
			if line["level"] != c.name || line["severity"] != c.severity || line["topic"] != "orders" {
				t.Errorf("on Cloud Run: %v: %s", cloudRun, out.String())
			}
		}
	}
}

func TestDurationsInTheLogHaveTheirUnit(t *testing.T) {
	for _, format := range []string{"", "json", "text"} {
		var out strings.Builder
		cfg := &envconfig.Config{Run: envconfig.Run{LogLevel: "info", LogFormat: format}}
		newLogger(cfg, &out).Info("took", slog.Duration("took", 1500*time.Millisecond), slog.Int("records", 3))
		if format == "text" {
			if !strings.Contains(out.String(), "took=1.5s records=3") {
				t.Errorf("text: %s", out.String())
			}
			continue
		}
		var line struct {
			Took    string
			Records int
		}
		if err := json.Unmarshal([]byte(out.String()), &line); err != nil || line.Took != "1.5s" || line.Records != 3 {
			t.Errorf("format %q: %s (%v)", format, out.String(), err)
		}
	}
}
