package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar"
)

// serveLambda runs the subscription as a Lambda function until the platform ends it. Without a Lambda extension that is a SIGKILL between two
// invocations; with one it is a SIGTERM and little time, in which attempts are cut and their records reported as unsettled.
func serveLambda(cfg *envconfig.Config, log *slog.Logger, stdout, stderr io.Writer) int {
	slog.SetDefault(log) // the runtime's client writes to package log: into our form
	slog.SetLogLoggerLevel(slog.LevelError)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	failed := make(chan error, 1)
	h := &invocations{}
	go func() {
		f, err := newFunction(ctx, cfg, log)
		if err != nil {
			failed <- err
			return
		}
		f.WriteEMF(stdout)
		h.function = f
		lambda.StartWithOptions(h, lambda.WithContext(ctx)) // does not return: it ends the process when there is nothing to run for any more
	}()
	select {
	case err := <-failed:
		return exitCode(err, log, stderr)
	case sig := <-signals:
		log.Info("signal received", slog.String("signal", sig.String()))
		stop()
	}
	if h.running.TryLock() {
		return exitCode(nil, log, stderr) // none can begin any more
	}
	answered := make(chan struct{})
	go func() {
		h.running.Lock()
		<-time.After(answerTime)
		close(answered)
	}()
	select {
	case <-answered:
		return exitCode(nil, log, stderr)
	case sig := <-signals:
		log.Error("second signal: stopping at once", slog.String("signal", sig.String()))
		return exitDrain
	}
}

// answerTime is what the answers of the last invocations get: the runtime's client sends them after Invoke has returned, and tells nobody when
// it has. The platform grants little more.
const answerTime = 200 * time.Millisecond

// newFunction is the engine of a Lambda function, with the handler's type known.
func newFunction(ctx context.Context, cfg *envconfig.Config, log *slog.Logger) (*sidecar.Function, error) {
	if err := resolve(ctx, cfg, log); err != nil {
		return nil, err
	}
	f, err := sidecar.NewFunction(cfg, log, buildVersion(), lambdacontext.MaxConcurrency())
	if err != nil {
		return nil, mistakeError{err}
	}
	return f, nil
}

// invocations hands invocations to the engine. It is a lambda.Handler.
type invocations struct {
	function *sidecar.Function
	running  sync.RWMutex // held for reading by every invocation
}

// Invoke handles one event.
func (h *invocations) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.running.RLock()
	defer h.running.RUnlock()
	id := ""
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		id = lc.AwsRequestID
	}
	answer, err := h.function.Handle(ctx, id, payload)
	if errors.Is(err, sidecar.ErrHandlerChanged) {
		return nil, messages.InvokeResponse_Error{Type: "HandlerChanged", Message: err.Error(), ShouldExit: true}
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}
