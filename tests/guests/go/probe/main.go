// The probe on Vault's newest SDK: one process serves every mount.
package main

import (
	"log"

	"cofferdam/guests/internal/probe"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: probe.Factory}); err != nil {
		log.Fatal(err)
	}
}
