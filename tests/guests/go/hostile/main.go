// A plugin that misbehaves as its first argument says, where that takes a real one: with TLS, gRPC and a broker. In all else it
// is the probe.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"cofferdam/guests/internal/probe"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
	"google.golang.org/grpc"
)

const usage = `hostile BEHAVIOUR, one of:
  mixes-ids                  claims to serve several mounts, and gives every call to the one set up last
  other-version              says that it is v9.9.9
  other-type                 says that it is an auth method
  other-certificate          names a certificate in its handshake that it does not serve with
  dies-at STEP               exits with 3, where STEP is Start or a method: Setup, Type, Initialize, HandleRequest, Cleanup …
  panics-at STEP
  hangs-at STEP              never answers, whatever the host does
  lags-at STEP DURATION      answers late; at Setup, it dials the broker late
  closes-broker              ends the broker's stream as soon as the host opens it
  stays                      ignores SIGTERM and Shutdown
  answers-big MEBIBYTES      answers every request with that much
  answers-garbage            answers every request with data that is no JSON
  writes-on                  stores values from its cleanup on, for as long as it can
`

// stderr is the process's own. Once it is served, go-plugin sends os.Stderr to the host over gRPC.
var stderr = os.Stderr

// tricks are what a behaviour changes in an honest plugin.
type tricks struct {
	factory     logical.Factory
	multiplexed bool
	unary       grpc.UnaryServerInterceptor
	stream      grpc.StreamServerInterceptor
}

func main() {
	t := &tricks{factory: probe.Factory, multiplexed: true, unary: passUnary, stream: passStream}
	if err := t.learn(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, usage)
		os.Exit(2)
	}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, JSONFormat: true})
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig,
		VersionedPlugins: map[int]goplugin.PluginSet{5: {plugin.BackendPluginName: &claiming{
			GRPCBackendPlugin: &plugin.GRPCBackendPlugin{
				Factory: t.factory, Logger: logger, MultiplexingSupport: t.multiplexed,
			},
		}}},
		Logger: logger,
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return goplugin.DefaultGRPCServer(append(options, grpc.UnaryInterceptor(t.unary), grpc.StreamInterceptor(t.stream)))
		},
	})
}

// learn takes up the behaviour that the arguments name.
func (t *tricks) learn(args []string) error {
	takes := map[string]int{"dies-at": 2, "panics-at": 2, "hangs-at": 2, "lags-at": 3, "answers-big": 2}
	if len(args) == 0 || len(args) != max(takes[args[0]], 1) {
		return fmt.Errorf("these arguments are none that it takes: %q", args)
	}
	switch args[0] {
	case "mixes-ids":
		t.multiplexed = false
	case "other-version":
		t.factory = other(func(b *liar) { b.version = "v9.9.9" })
	case "other-type":
		t.factory = other(func(b *liar) { b.kind = logical.TypeCredential })
	case "other-certificate":
		return rewriteHandshake(otherCertificate)
	case "dies-at", "panics-at", "hangs-at", "lags-at":
		return t.faultAt(args[0], args[1], args[2:])
	case "closes-broker":
		t.stream = closeBroker
	case "stays":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		t.unary = func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if strings.HasSuffix(info.FullMethod, "/Shutdown") {
				return req, nil
			}
			return next(ctx, req)
		}
	case "answers-big":
		mebibytes, err := strconv.Atoi(args[1])
		blob := strings.Repeat("x", mebibytes<<20)
		t.unary = answer(fmt.Sprintf(`{"blob":%q}`, blob))
		return err
	case "answers-garbage":
		t.unary = answer(`{"never": `)
	case "writes-on":
		t.factory = writingOn
	default:
		return fmt.Errorf("no behaviour is named %q", args[0])
	}
	return nil
}

// claiming is a backend that says it serves several mounts, whether it does or not.
type claiming struct {
	*plugin.GRPCBackendPlugin
}

func (c *claiming) GRPCServer(broker *goplugin.GRPCBroker, server *grpc.Server) error {
	if !c.MultiplexingSupport {
		pluginutil.RegisterPluginMultiplexingServer(server, pluginutil.PluginMultiplexingServerImpl{Supported: true})
	}
	return c.GRPCBackendPlugin.GRPCServer(broker, server)
}

// liar says of itself what the probe does not.
type liar struct {
	logical.Backend
	kind    logical.BackendType
	version string
}

func (b *liar) Type() logical.BackendType { return b.kind }

func (b *liar) PluginVersion() logical.PluginVersion {
	return logical.PluginVersion{Version: b.version}
}

func other(lie func(*liar)) logical.Factory {
	return func(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
		backend, err := probe.Factory(ctx, conf)
		b := &liar{Backend: backend, kind: logical.TypeLogical, version: "v1.2.3"}
		lie(b)
		return b, err
	}
}

// writer stores values without end, once it is cleaned up.
type writer struct {
	logical.Backend
	storage logical.Storage
}

func writingOn(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	backend, err := probe.Factory(ctx, conf)
	return &writer{Backend: backend, storage: conf.StorageView}, err
}

// Cleanup never returns, so that the SDK leaves the connection open.
func (w *writer) Cleanup(context.Context) {
	for i := 0; ; i++ {
		entry := &logical.StorageEntry{Key: fmt.Sprintf("late/%d", i%100), Value: []byte("late")}
		if err := w.storage.Put(context.Background(), entry); err != nil {
			fmt.Fprintf(stderr, "[INFO] a write was refused\n[INFO] %v\n", err)
			select {}
		}
	}
}
