// A plugin from before AutoMTLS: it speaks versions 3 and 4 of the protocol, and fetches the certificate it serves with from
// the server, by the wrapping token in its environment. In metadata mode it serves without TLS, and only says what it is.
//
// It takes the flags that such plugins take, `-ca-cert` and `-tls-skip-verify` among them.
package main

import (
	"log"
	"math"
	"os"

	"cofferdam/guests/internal/probe"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/plugin"
	"google.golang.org/grpc"
)

func main() {
	// Such a plugin does not know this variable. Where it is not given a token, it fails.
	os.Unsetenv(api.PluginAutoMTLSEnv)
	meta := new(api.PluginAPIClientMeta)
	if err := meta.FlagSet().Parse(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, JSONFormat: true})
	set := goplugin.PluginSet{
		plugin.BackendPluginName: &plugin.GRPCBackendPlugin{Factory: probe.Factory, Logger: logger},
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  plugin.HandshakeConfig,
		VersionedPlugins: map[int]goplugin.PluginSet{3: set, 4: set},
		TLSProvider:      api.VaultPluginTLSProvider(meta.GetTLSConfig()),
		Logger:           logger,
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return goplugin.DefaultGRPCServer(append(options,
				grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32)))
		},
	})
}
