// A plugin that serves Go's net/rpc and nothing else, as the first ones did: a host that speaks gRPC refuses it by name.
package main

import (
	"errors"
	"net/rpc"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/vault/sdk/plugin"
)

type backend struct{}

func (backend) Server(*goplugin.MuxBroker) (any, error) {
	return backend{}, nil
}

func (backend) Client(*goplugin.MuxBroker, *rpc.Client) (any, error) {
	return nil, errors.New("this is a plugin and no host")
}

func main() {
	set := goplugin.PluginSet{plugin.BackendPluginName: backend{}}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  plugin.HandshakeConfig,
		VersionedPlugins: map[int]goplugin.PluginSet{3: set, 4: set, 5: set},
	})
}
