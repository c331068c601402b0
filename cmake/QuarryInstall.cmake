# What is installed, and the packages made of it: a tarball and a .deb. `./dev package` builds both.
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # cpack packs what is built; it does not build the tests first.
set(QUARRY_MAINTAINER "Quarry maintainers <maintainers@quarry.invalid>" CACHE STRING "Who answers for the .deb")

install(TARGETS quarryd quarryctl quarry-load RUNTIME DESTINATION bin COMPONENT quarry)
install(DIRECTORY proto/ DESTINATION share/quarry/proto COMPONENT quarry FILES_MATCHING PATTERN "*.proto"
  PATTERN "service_config.json")
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT quarry)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT quarry FILES_MATCHING PATTERN "*.md"
  PATTERN adr EXCLUDE)
install(DIRECTORY examples/config DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT quarry)

# Beside the binaries where there is no package manager to put them in place.
install(FILES LICENSE packaging/quarry.yaml packaging/quarryd.service DESTINATION share/quarry COMPONENT tarball
  EXCLUDE_FROM_ALL)

# Absolute, and only in the .deb.
install(FILES packaging/quarry.yaml DESTINATION /etc/quarry COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES packaging/quarryd.service DESTINATION /lib/systemd/system COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES packaging/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES packaging/debian/lintian-overrides DESTINATION share/lintian/overrides RENAME quarry COMPONENT debian
  EXCLUDE_FROM_ALL)
string(TIMESTAMP QUARRY_BUILD_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)  # SOURCE_DATE_EPOCH, where that is set.
configure_file(packaging/debian/changelog.in ${CMAKE_BINARY_DIR}/packaging/changelog @ONLY)
install(CODE "execute_process(COMMAND gzip -9nc ${CMAKE_BINARY_DIR}/packaging/changelog
  OUTPUT_FILE ${CMAKE_BINARY_DIR}/packaging/changelog.gz COMMAND_ERROR_IS_FATAL ANY)" COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_BINARY_DIR}/packaging/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT debian
  EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR TGZ DEB)
set(CPACK_QUARRY_ARCH ${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_SOURCE_DIR}/cmake/QuarryPackage.cmake)
set(CPACK_PACKAGE_VENDOR Quarry)
set(CPACK_PACKAGE_CONTACT "${QUARRY_MAINTAINER}")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_COMPONENTS_ALL quarry tarball debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
  WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "open data gateway over many PostgreSQL or SQLite shards
One gRPC service makes many ordinary databases look like one. It routes each
row to its shard, runs calls on the shards that their keys name, and keeps
transactions over several shards atomic.
.
This package has the gateway (quarryd), its command line (quarryctl) and its
load program (quarry-load).")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(script postinst prerm postrm conffiles)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/packaging/debian/${script})
endforeach()
include(CPack)
