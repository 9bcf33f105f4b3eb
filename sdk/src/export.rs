//! The line that makes a plugin out of a crate.

/// Exports a [`Plugin`](crate::Plugin) from a `cdylib`: `cofferdam_sdk::export!(MyPlugin);`, once in a crate.
///
/// On other targets than WebAssembly it only checks that the type is a plugin; a program's `main` calls `serve`
/// instead.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn is_plugin<P: $crate::Plugin>() {}
            is_plugin::<$plugin>()
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            static MOUNTS: $crate::Mounts<$plugin> = $crate::Mounts::new();

            struct This;

            impl $crate::component::Export for This {
                type Plugin = $plugin;

                fn mounts() -> &'static $crate::Mounts<$plugin> {
                    &MOUNTS
                }
            }

            type Component = $crate::component::Component<This>;
    $crate::component::bindings::export_component!(Component with_types_in $crate::component::bindings);
        };
    };
}

/// Exports an [`AsyncPlugin`](crate::AsyncPlugin) from a `cdylib`: `cofferdam_sdk::export_async!(MyPlugin);`, once in a
/// crate.
///
/// On other targets than WebAssembly it only checks that the type is a plugin. It needs the feature `async`.
#[cfg(feature = "async")]
#[macro_export]
macro_rules! export_async {
    ($plugin:ty) => {
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn is_plugin<P: $crate::AsyncPlugin>() {}
            is_plugin::<$plugin>()
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            static MOUNTS: $crate::AsyncMounts<$plugin> = $crate::AsyncMounts::new();

            struct This;

            impl $crate::component::AsyncExport for This {
                type Plugin = $plugin;

                fn mounts() -> &'static $crate::AsyncMounts<$plugin> {
                    &MOUNTS
                }
            }

            type Component = $crate::component::AsyncComponent<This>;
            $crate::component::bindings::concurrent::export_async_component!(
                Component with_types_in $crate::component::bindings::concurrent
            );
        };
    };
}
